"""What nets are made of, before any rows are shown to them."""
