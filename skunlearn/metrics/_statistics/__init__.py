"""Intervals, matched samples and rates: statistics of two sets of rows."""
