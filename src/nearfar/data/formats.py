"""What a file is by its first bytes, where Pillow cannot read it; and PNGs without their extras."""

import struct

_PNG = b"\x89PNG\r\n\x1a\n"
_KEPT = (b"tRNS", b"eXIf")  # of what a PNG may lack: what changes the picture


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
