"""Scorers of unlearners."""
