"""Rendering: pixels from the store's bytes, one warp matrix and one colour matrix a view.

`render` is the seam: parameters hold no pixel, so a kernel may make a view in one pass (and a second over the
view where contrast needs its mean grey). Plain torch, in `reference`, is what every kernel is compared with.
"""

from nearfar.views.warp.reference import render

__all__ = ["render"]
