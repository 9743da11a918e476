"""A(D): what an estimator is trained from, and a training from nothing."""
