"""Models side by side: what was forgotten, at what price."""

from skunlearn.evaluation.comparison import compare, comparison_table

__all__ = ["compare", "comparison_table"]
