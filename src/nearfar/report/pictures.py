"""A picture from a run folder, which may be anyone's: bounded before it is decoded, and drawn anew
for the page.
"""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from nearfar.report.sheet import as_data_uri

_LARGEST_BYTES, _LARGEST_PX = 8_000_000, 2400  # of the file, and of either side
_EMBEDDED_BYTES = 110_000  # base64 makes a third more of them
_QUALITIES = (88, 80, 70, 55, 40, 25)


@dataclass(frozen=True, eq=False)
class Picture:
    """What a page shows: never the file's own bytes."""

    image: Image.Image

    def data_uri(self) -> str:
        """As PNG where that is small, else as JPEG of the best quality that is."""
        content = _saved(self.image, "PNG", optimize=True)
        if len(content) <= _EMBEDDED_BYTES:
            return as_data_uri(content, "image/png")
        for quality in _QUALITIES:
            content = _saved(self.image, "JPEG", quality=quality)
            if len(content) <= _EMBEDDED_BYTES:
                break
        return as_data_uri(content, "image/jpeg")


def read_picture(file: Path) -> Picture:
    """A PNG of at most 2,400 px a side. ValueError, OSError: it is none, or cut short."""
    if (size := file.stat().st_size) > _LARGEST_BYTES:
        raise ValueError(f"want at most {_LARGEST_BYTES:,} bytes, got {size:,}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # odd, but drawn or refused all the same
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(file.read_bytes()), formats=["PNG"])
            if max(opened.size) > _LARGEST_PX:
                raise ValueError(
                    f"want at most {_LARGEST_PX} px a side, got {opened.width} x {opened.height}"
                )
            return Picture(opened.convert("RGB"))
    except (SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(str(error) or "damaged") from error


def _saved(image: Image.Image, kind: str, **options: int | bool) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
