"""Membership inference on arrays. Nothing here imports torch."""
