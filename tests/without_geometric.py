"""Imported first by a server of forks: skorch then leaves out what takes seconds to import."""

import sys

sys.modules.setdefault("torch_geometric", None)
