"""The version, which the files of a run name."""

__version__ = "0.2.0"
