"""What users pass in: containers of rows, views of them, the record of a training."""
