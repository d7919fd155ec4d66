"""Rendering views, and blur: kernels for each kind of device."""
