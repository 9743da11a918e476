"""Shadow models: many small retrainings, for the attacks that know each row."""

from skunlearn.shadow.models import ShadowModels

__all__ = ["ShadowModels"]
