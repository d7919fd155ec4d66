"""All thumbnails of a page as one picture: each different thumbnail stands on it once."""

import base64
import io
from dataclasses import dataclass, field
from typing import final

import numpy as np
from jaxtyping import UInt8
from PIL import Image

TILE = 32  # px: four JPEG blocks, so that no tile colors its neighbor
COLUMNS = 64
_QUALITY = 82


@final
@dataclass
class Sheet:
    """Collects thumbnails while a page is made, then draws itself."""

    _numbers: dict[bytes, int] = field(default_factory=dict)

    def add(self, thumbnail: UInt8[np.ndarray, "side side 3"]) -> int:
        """The number of this thumbnail's tile; equal thumbnails share one."""
        if thumbnail.shape[0] != TILE:
            thumbnail = np.asarray(Image.fromarray(thumbnail).resize((TILE, TILE)))
        return self._numbers.setdefault(thumbnail.tobytes(), len(self._numbers))

    @property
    def rows(self) -> int:
        return max(1, -(-len(self._numbers) // COLUMNS))

    def data_uri(self) -> str:
        """The sheet as a JPEG of COLUMNS tiles a row."""
        pixels = np.zeros((self.rows, COLUMNS, TILE, TILE, 3), np.uint8)
        for tile, number in self._numbers.items():
            pixels[number // COLUMNS, number % COLUMNS] = np.frombuffer(tile, np.uint8).reshape(
                TILE, TILE, 3
            )
        image = Image.fromarray(pixels.swapaxes(1, 2).reshape(self.rows * TILE, COLUMNS * TILE, 3))
        buffer = io.BytesIO()
        # not optimize=True: Pillow then fails where a noisy sheet needs more than a byte a pixel
        image.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
        return as_data_uri(buffer.getvalue(), "image/jpeg")


def as_data_uri(content: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"
