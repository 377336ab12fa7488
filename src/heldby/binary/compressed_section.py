"""Compressed sections (SHF_COMPRESSED): an Elf64_Chdr and a zlib stream; Go's linker writes no other kind."""

from __future__ import annotations

import zlib

import numpy as np

from heldby.errors import FormatError, Unsupported
from heldby.memory.image import Bytes

_ELFCOMPRESS_ZLIB = 1
_MAX_RATIO = 64  # debug sections shrink to a third; a larger promise is a bomb


def decompressed(raw: Bytes, section: str, name: str) -> Bytes:
    """Return what the compressed section `section` of the file `name` holds.

    Raises:
        FormatError: the stream is damaged, or promises more than it can hold.
        Unsupported: it is compressed in another way than zlib.
    """
    head = raw[:24].tobytes()
    kind, size = int.from_bytes(head[:4], "little"), int.from_bytes(head[8:16], "little")
    if kind != _ELFCOMPRESS_ZLIB:
        raise Unsupported(
            f"section {section} of {name} is compressed in way {kind}",
            cause="only zlib is read",
            next_step="objcopy --decompress-debug-sections PROGRAM",
        )
    if len(head) < 24 or size > (raw.size + 4096) * _MAX_RATIO:
        raise _damaged(section, name)
    decompressor = zlib.decompressobj()
    try:
        out = decompressor.decompress(raw[24:].data, max(size, 1))
    except zlib.error as error:
        raise _damaged(section, name) from error
    if len(out) != size:
        raise _damaged(section, name)
    return np.frombuffer(out, np.uint8)


def _damaged(section: str, name: str) -> FormatError:
    return FormatError(
        f"section {section} of {name} cannot be decompressed",
        cause="the file is damaged or cut off",
        next_step="copy the program again, or give one without debug information",
    )
