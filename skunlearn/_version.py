"""The version, alone in a file so that build tools read it without importing torch."""

__version__ = "0.2.0"
