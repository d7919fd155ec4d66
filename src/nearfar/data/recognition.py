"""What counts as a picture among the files of a source: its ending or its first bytes say so.

All else is a note beside the pictures (a label file, a license, a film). Formats that cannot be
read yet count as well: a photograph that is left out has to be named.
"""

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

HEAD = 32  # bytes that tell
_READ = (
    ".jpg .jpeg .jpe .jfif .png .gif .bmp .dib .tif .tiff .webp .ppm .pgm .pbm .pnm .tga .jp2"
    " .avif .mpo .apng"
)
_OTHERS = (
    ".heic .heif .hif .jxl .j2k .jpx .svg .psd .ico .dng .cr2 .cr3 .nef .arw .orf .rw2 .raf .pef"
    " .srw .exr .hdr"
)
IMAGE_SUFFIXES = frozenset(_READ.split() + _OTHERS.split())
_FIRST_BYTES = re.compile(
    rb"\xff\xd8\xff"  # JPEG
    rb"|\x89PNG\r\n"
    rb"|GIF8[79]a"
    rb"|BM.{4}\0\0\0\0"
    rb"|II[*+]\0|MM\0[*+]"  # TIFF, and most raw formats
    rb"|RIFF.{4}WEBP"
    rb"|P[1-6]\s+[\d#]"
    rb"|\0\0\0\x0c(jP  |JXL )|\xff\x4f\xff\x51|\xff\x0a"  # JPEG 2000, JPEG XL
    rb"|.{4}ftyp(avif|avis|hei[cxms]|hev[cx]|mif1|msf1|crx )"
    rb"|8BPS",
    re.DOTALL,
)


def is_picture(name: str, head: Callable[[], bytes]) -> bool:
    """Whether a file of that name is meant to be a picture. `head` reads its first bytes, and is
    asked only where the ending does not say it.
    """
    if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
        return True
    return _FIRST_BYTES.match(head()) is not None


def head_of(path: Path, size: int = HEAD) -> bytes:
    """The first bytes of a file, none where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return b""
