"""Rows on their way to a net."""
