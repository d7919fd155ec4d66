"""nearfar: representations learned by comparison, and measured honestly."""

__version__ = "0.1.0"
