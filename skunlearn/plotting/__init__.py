"""Pictures; matplotlib is imported when one is drawn."""

from skunlearn.plotting.comparison import plot_comparison

__all__ = ["plot_comparison"]
