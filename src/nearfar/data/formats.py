"""What a file is by its first bytes, where Pillow cannot read it; and PNGs without their extras."""

import struct

from PIL import Image

_PNG = b"\x89PNG\r\n\x1a\n"
_KEPT = (b"tRNS", b"eXIf")  # of what a PNG may lack: what changes the picture
_CONVERT = "convert it to JPEG or PNG"
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_AVIF = {b"avif", b"avis"}
_FILM = (b"moov", b"mdat", b"wide", b"pnot")  # of QuickTime files without ftyp
_TIFF = (b"II*\0", b"MM\0*")
_RAW = (
    b"II*\0\x10\0\0\0CR",  # Canon
    b"FUJIFILMCCD-RAW",
    b"IIRO",  # Olympus
    b"IIRS",
    b"MMOR",
    b"IIU\0",  # Panasonic
    b"FOVb",  # Sigma
)
_OTHERS = (
    (b"%PDF-", "PDF document"),
    (b"8BPS", "PSD document"),
    (b"\xff\x0a", "JPEG XL photograph"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL photograph"),
)
HEAD_BYTES = 1024


def slim_png(content: bytes) -> bytes | None:
    """A PNG without texts, profiles and the like; None for anything else."""
    if not content.startswith(_PNG):
        return None
    parts, at = [_PNG], len(_PNG)
    while at + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        end = at + 12 + length
        if kind[:1].isupper() or kind in _KEPT:
            parts.append(content[at:end])
        at = end
    return b"".join(parts)


def named_format(head: bytes) -> str | None:
    """The format of a file that Pillow did not know, and what to do; None: none that is met often.

    `head`: its first bytes, HEAD_BYTES of them.
    """
    brands = _brands(head)
    if brands & _AVIF:
        return f"AVIF photograph, which this Pillow cannot read; {_CONVERT}"
    if brands & _HEIC:
        way_out = "" if "HEIF" in Image.OPEN else "pip install pillow-heif, or "
        return f"HEIC photograph that cannot be read; {way_out}{_CONVERT}"
    if b"crx " in brands or head.startswith(_RAW):
        return f"RAW photograph; {_CONVERT}"
    if brands or head[4:8] in _FILM:
        return "a film (MOV or MP4), not an image; save frames as JPEG or PNG, or take it out"
    if head.startswith(_TIFF):
        return f"TIFF or RAW photograph (DNG, NEF, ARW) that Pillow cannot read; {_CONVERT}"
    if _begins_svg(head):
        return f"SVG drawing; {_CONVERT}"
    return next((f"{name}; {_CONVERT}" for start, name in _OTHERS if head.startswith(start)), None)


def _begins_svg(head: bytes) -> bool:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return text.startswith(b"<svg") or (
        text.startswith((b"<?xml", b"<!--", b"<!DOCTYPE svg")) and b"<svg" in text
    )


def _brands(head: bytes) -> set[bytes]:
    """What an ISO media file (photographs of phones, films) calls itself."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(struct.unpack_from(">I", head)[0], len(head))
    return {head[8:12]} | {head[at : at + 4] for at in range(16, end - 3, 4)}
