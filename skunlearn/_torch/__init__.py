"""skorch's nets: the only room that knows skorch and loops over batches."""
