"""From the bytes of an image file to the RGB squares of the store.

What conversion means, so that nobody has to guess:
- 1-bit and gray become three equal channels; of gray in 16 bits or floats one value is white for
  a whole set, see rgb.py.
- Transparency (alpha, palettes, color keys) is laid over white.
- CMYK, YCbCr and HSV go through Pillow's conversion; an embedded color profile is not applied.
- Floating-point TIFF has to lie in [0, 1] or in [0, 255].
- EXIF orientation is applied, and true width and height are those of the picture as it is looked
  at.
- Of an animation, the first frame.
- Texts and profiles of a PNG that are beyond Pillow's limits are dropped, the picture is read.
- Large JPEGs are read at the smallest scale of their own transform at which both sides are at least
  four times the evaluation view's, and its square twice (without a view: twice the store's side).
- The square: bicubic with antialiasing. The half level: the square's area average. The evaluation
  view: from the picture itself, see center.py.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from nearfar.data.center import CenterSquare
from nearfar.data.formats import HEAD_BYTES, named_format, slim_png
from nearfar.data.listing import Broken, Raw
from nearfar.data.rgb import OWN_WHITE, Deep, White, deep_of, is_deep, to_rgb

T = TypeVar("T")
PEEKS = 64  # files of a source whose sizes are read to describe it
_READ = (
    "JPEG",
    "PNG",
    "GIF",
    "BMP",
    "DIB",
    "TIFF",
    "WEBP",
    "PPM",
    "TGA",
    "JPEG2000",
    "MPO",
    "AVIF",
    "HEIF",  # these two by plug-ins
    "JXL",
)
_BROKEN = (  # what Pillow raises on damaged files
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MIRRORS_X, _MIRRORS_Y = (2, 3, 6, 7), (3, 4, 7, 8)  # turns after which an axis runs backwards
_ORIENTATION = 0x0112  # EXIF tag


@dataclass(frozen=True)
class Decoded:
    """One image of the store."""

    square: UInt8[np.ndarray, "side side 3"]
    half: UInt8[np.ndarray, "half half 3"]
    evaluated: UInt8[np.ndarray, "size size 3"]  # 0 px if the square is read
    width: int  # px, true
    height: int


@contextmanager
def pillow_is_quiet() -> Iterator[None]:
    """Pillow's warnings (huge images, odd metadata) silenced: what matters comes out as a
    reason.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def half_side(side: int) -> int:
    return max(1, side // 2)


def raw_bytes(raw: Raw) -> bytes:
    """What a duplicate is recognized by: the file's content, or shape and pixels. Raises
    OSError.
    """
    if isinstance(raw, Broken):
        raise OSError(raw.reason)
    if isinstance(raw, bytes):
        return raw
    if isinstance(raw, Path):
        return raw.read_bytes()
    return repr(raw.shape).encode() + raw.tobytes()


def decode(
    raw: Raw, side: int, center: CenterSquare | None = None, *, white: White = OWN_WHITE
) -> Decoded | Broken:
    """The image squashed to `side` px and, where `center` is given, its evaluation view; or why
    not. `white`: of deep gray, where there is no center that says it. Runs in threads.
    """
    if center is None:
        return _made(raw, 2 * side, white, lambda picture: _squares(picture, side, None))
    return _made(raw, center.least_px, center.white, lambda one: _squares(one, side, center))


def training_pixels(raw: Raw, side: int, center: CenterSquare) -> Decoded | Broken:
    """What `decode` gives, without the evaluation view."""
    return _made(raw, center.least_px, center.white, lambda one: _squares(one, side, None))


def evaluation_pixels(raw: Raw, center: CenterSquare) -> UInt8[np.ndarray, "size size 3"] | Broken:
    """The evaluation view alone, equal to what `decode` gives beside the square; or why not."""
    return _made(raw, center.least_px, center.white, lambda one: _evaluated(one, center))


@dataclass(frozen=True)
class _Picture:
    """An RGB picture, upright. A JPEG may have been read smaller, with a rest of a pixel more."""

    image: Image.Image
    width: int  # px, true
    height: int
    scale: float = 1.0
    origin: tuple[float, float] = (0.0, 0.0)  # where in `image` the picture begins


def _made(raw: Raw, least_px: int, white: White, make: Callable[[_Picture], T]) -> T | Broken:
    """What is made of the picture, which may be read as small as `least_px`; or why not."""
    if isinstance(raw, Broken):
        return raw
    head = b""
    try:
        if isinstance(raw, np.ndarray):
            image = Image.fromarray(raw)
            return make(_Picture(image, *image.size))
        content = raw_bytes(raw)
        head = content[:HEAD_BYTES]
        try:
            return make(_open(content, least_px, white))
        except ValueError:  # what Pillow says of texts and profiles beyond its limits
            slim = slim_png(content)
            if slim is None:
                raise
            return make(_open(slim, least_px, white))
    except _BROKEN as error:
        return Broken(_reason(error, head, is_file=isinstance(raw, Path)))


def _squares(picture: _Picture, side: int, center: CenterSquare | None) -> Decoded:
    square = picture.image
    if square.size != (side, side):
        square = square.resize((side, side), Image.Resampling.BICUBIC, reducing_gap=3.0)
    half = square.resize((half_side(side),) * 2, Image.Resampling.BOX)
    if center is None or center.reads_picture(picture.width, picture.height, side):
        evaluated = np.empty((0, 0, 3), np.uint8)
    else:
        evaluated = _evaluated(picture, center)
    return Decoded(np.asarray(square), np.asarray(half), evaluated, picture.width, picture.height)


def _evaluated(read: _Picture, center: CenterSquare) -> UInt8[np.ndarray, "size size 3"]:
    square = center.of(read.image, read.width, read.height, scale=read.scale, origin=read.origin)
    return np.asarray(square)


@dataclass(frozen=True)
class Peeked:
    """What a header says, and of gray of more than 8 bits the brightest value."""

    width: int  # px
    height: int
    deep: Deep | None = None


def peek(raw: Raw) -> Peeked | None:
    """Pixels are read of deep gray alone; None where there is no image."""
    try:
        if isinstance(raw, np.ndarray):
            return Peeked(raw.shape[1], raw.shape[0])
        if isinstance(raw, Broken):
            return None
        file = raw if isinstance(raw, Path) else io.BytesIO(raw)
        try:
            return _peeked(file)
        except ValueError:
            slim = slim_png(raw_bytes(raw))
            return None if slim is None else _peeked(io.BytesIO(slim))
    except _BROKEN:
        return None


def _peeked(file: Path | io.BytesIO) -> Peeked:
    with Image.open(file, formats=_formats()) as image:
        size = image.size
        return Peeked(*size, deep_of(image) if is_deep(image.mode) else None)


@cache
def _plug_in() -> None:
    """Pillow's own readers, and that of photographs of phones where it is installed."""
    Image.init()
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()


def _formats() -> tuple[str, ...]:
    """The raster formats of this Pillow and its plug-ins, which may come later; the others include
    one that starts an outside program.
    """
    _plug_in()
    return tuple(name for name in _READ if name in Image.OPEN)


def _open(content: bytes, least_px: int, white: White) -> _Picture:
    """The picture, read no smaller than so many px (JPEGs alone can be)."""
    image = Image.open(io.BytesIO(content), formats=_formats())
    width, height = image.size
    if isinstance(image, TiffImageFile) and image.tag_v2.get(254) == 1 and 330 in image.tag_v2:
        raise UnidentifiedImageError  # the preview that a RAW photograph begins with
    drafted = image.draft("RGB", (least_px, least_px))
    scale = 1.0 if drafted is None else width / drafted[1][2]
    image.load()
    if scale == 1:
        width, height = image.size  # Pillow turns a TIFF upright while it loads
    turn = _turn(image)
    picture = to_rgb(image, white)
    more = picture.width - width / scale, picture.height - height / scale
    if turn in _TURNS:
        picture = picture.transpose(_TURNS[turn])
        if turn >= 5:
            width, height, more = height, width, more[::-1]
    origin = more[0] * (turn in _MIRRORS_X), more[1] * (turn in _MIRRORS_Y)
    return _Picture(picture, width, height, scale, origin)


def _turn(image: Image.Image) -> int:
    """How a loaded image has to be turned to stand upright, as EXIF counts."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except _BROKEN:
        return 1  # damaged metadata is no reason to lose the picture


def upright_rgb(image: Image.Image, white: White = OWN_WHITE) -> Image.Image | Broken:
    """What a file of this image would be read as: RGB and upright; or why not."""
    try:
        image.load()
        turn = _turn(image)
        picture = to_rgb(image, white)
    except _BROKEN as error:
        return Broken(_reason(error, None, is_file=False))
    return picture.transpose(_TURNS[turn]) if turn in _TURNS else picture


def _reason(error: BaseException, head: bytes | None, *, is_file: bool) -> str:
    """`error` for a person. `head`: the first bytes of the file, empty where there are none; None:
    an image that was in memory.
    """
    if isinstance(error, Image.DecompressionBombError):
        return "more than 178 megapixels; save it smaller"
    if isinstance(error, MemoryError):
        return "too large for the memory"
    damaged = f"damaged image: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    if head is None:
        return damaged
    if not head:
        if isinstance(error, OSError) and error.errno is not None and is_file:
            return f"cannot be read: {error.strerror}"
        return "empty file"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the image; fetch it with git lfs pull"
    if isinstance(error, UnidentifiedImageError):
        if (known := named_format(head)) is not None:
            return known
        is_text = all(byte >= 32 or byte in b"\t\n\r\f" for byte in head[:64])
        return "text, not an image" if is_text else "not an image of a known format"
    return damaged
