"""Files that are whole or absent, and folders of an estimator's own."""
