"""The evaluation view of a picture, before normalization: its centered square, resampled once."""

from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from jaxtyping import Bool, Int64
from PIL import Image

from nearfar.data.rgb import OWN_WHITE, White
from nearfar.run_folder.records import Interpolation

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class CenterSquare:
    """`crop` times the largest centered square, cut out at whole pixels, at `size` px.

    Its pixels are those of Pillow's `crop` and antialiased `resize`, and depend on nothing but the
    picture.
    """

    size: int
    crop: float = 1.0
    interpolation: Interpolation = "bilinear"
    white: White = OWN_WHITE  # of deep gray

    @property
    def least_px(self) -> int:
        """How small a JPEG may be read: at least four times the size, and twice as many pixels in
        the square as it gets.
        """
        return max(4 * self.size, ceil(2 * self.size / self.crop))

    def takes_whole(self, side: int) -> bool:
        """Whether of a square picture of that side every pixel stays as it is."""
        return self.size == side == self._side(side)

    def reads_square(
        self, sizes_px: Int64[np.ndarray, "row 2"], side: int
    ) -> Bool[np.ndarray, " row"]:
        """Whether a store of squares of that side holds the picture itself in no more room than the
        view would take: then the view is made from it, and not kept beside.
        """
        squares: Bool[np.ndarray, " row"] = np.all(sizes_px == side, axis=1)
        return squares & (side <= self.size)

    def reads_picture(self, width: int, height: int, side: int) -> bool:
        """`reads_square` of one picture."""
        return width == height == side <= self.size

    def of(
        self,
        picture: Image.Image,
        width: int,
        height: int,
        *,
        scale: float = 1.0,
        origin: tuple[float, float] = (0.0, 0.0),
    ) -> Image.Image:
        """Of an upright RGB picture of that true size. It may have been read `scale` times smaller;
        then its first pixel begins at `origin` px of what was read.
        """
        side = self._side(min(width, height))
        left = (width - side) // 2 / scale + origin[0]
        top = (height - side) // 2 / scale + origin[1]
        right, bottom = left + side / scale, top + side / scale
        x, y = floor(left), floor(top)
        cut = picture.crop((x, y, ceil(right), ceil(bottom)))
        box = (left - x, top - y, right - x, bottom - y)
        return cut.resize((self.size, self.size), _FILTERS[self.interpolation], box)

    def _side(self, shorter: int) -> int:
        return max(1, round(self.crop * shorter))
