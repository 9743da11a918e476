"""Shadow models: many small retrainings, for the attacks that know each row."""

from skunlearn.shadow.shadow_models import ShadowModels

__all__ = ["ShadowModels"]
