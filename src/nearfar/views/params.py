"""The parameters of views: what is done to each, in numbers. One warp, then a few stages; drawn on
the CPU, rendered on any device.

Letters: V views, B samples, L stages.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

# Stages, and what stands in `amount`. Values are in [0, 255].
NONE = 0
# a 3×4 matrix, row by row, of (r, g, b, m), m being the mean gray of the view before it; then a
# number that is added to each channel
COLOR = 1
POSTERIZE = 2  # bits kept
SOLARIZE = 3  # threshold
SOLARIZE_ADD = 4  # amount, threshold
EQUALIZE = 5
AUTOCONTRAST = 6
INVERT = 7
SHARPNESS = 8  # factor
BLUR = 9  # sigma, radius, px
ERASE = 10  # left, top, width, height, px, then the color
NOISE = 11  # sigma, then the higher and the lower 16 bits of its key
# value by value, on whole values
TABLES = (POSTERIZE, SOLARIZE, SOLARIZE_ADD, EQUALIZE, AUTOCONTRAST, INVERT)
# rounds to whole values: a mean of two or four pixels lies just between, and would go by its last
# bit
HALF = 0.5013
WIDTH = 13
# the color matrix that changes nothing, and nothing added
UNCHANGED = np.append(np.eye(3, 4, dtype=np.float32), np.float32(0))
GRAY = (0.299, 0.587, 0.114)  # ITU-R BT.601, also the first row of YIQ

# Stored pixels to a pixel of the view above which the next smaller level is read. Measured on 200
# photographs of 128 px, stored at 64 (Pillow's antialiased bilinear) and viewed at 32, against an
# antialiased resize of the crop from the photograph: RMSE in gray levels, median ratio of edge
# energy
#   shrink   1.0       1.25      1.5       1.7       1.8       1.9       1.95      2.0
#   stored   4.8 .75   3.1 .87   1.9 .96   3.4 1.20  4.0 1.26  4.7 1.33  5.0 1.36  3.3 1.26
#   half     14.6 .31  12.7 .38  11.2 .44  8.6 .56   7.8 .60   6.8 .65   6.3 .67   0.3 1.00
# A blend of both (weight of half: shrink - 1.5) would stay under 2.5 at twice the reads.
SHRINK = 1.95

# What lies outside the image shows only along an axis on which the view reaches beyond it, by more
# than rounding: a crop that touches the border has none of it. The image's edge fades over one
# stored pixel where it shows.
WITHIN = 1 + 1e-5


class ViewParams(NamedTuple):
    """How each view of each sample is made."""

    warp: Float32[np.ndarray, "view batch 2 3"]  # see `geometry` in kernels/draw.py
    stage: UInt8[np.ndarray, "view batch stage"]
    amount: Float32[np.ndarray, "view batch stage 13"]
    # the gray value outside the image; below 0 its edge goes on
    outside: Float32[np.ndarray, " view"]
