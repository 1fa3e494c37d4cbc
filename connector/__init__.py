"""Send rows of a data warehouse to Voyado Engage as interactions: never twice, never lost."""

__version__ = "0.1.0"
