"""Reads profiles as pprof does: protobuf or Go's texts, gzipped or plain, told apart by their content."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Final, Literal

from heldby.errors import FormatError, HeldbyError, LimitExceeded, Truncated
from heldby.profiles.profile import Profile
from heldby.profiles.protobuf_read import parse_protobuf
from heldby.profiles.text_read import is_text_profile, parse_text

LARGEST_BYTES: Final = 1 << 30
"""A profile that unpacks to more is refused: gzip can turn 1 MB into 1 GB."""
HEAD_BYTES: Final = 4096
_GZIP: Final = b"\x1f\x8b"
_ELF: Final = b"\x7fELF"

Content = Literal["profile", "compressed core", "other"]


def content_of(path: Path) -> Content:
    """Say what lies at `path` by its first bytes; a plain protobuf without magic is parsed whole.

    Raises `OSError`.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(_GZIP):
        try:
            inside = zlib.decompressobj(wbits=31).decompress(head, HEAD_BYTES)
        except zlib.error:
            return "profile"  # the reader says what is wrong with it
        return "compressed core" if inside.startswith(_ELF) else "profile"
    if is_text_profile(head):
        return "profile"
    if not _may_be_protobuf(head) or path.stat().st_size > LARGEST_BYTES:
        return "other"
    try:
        parse_protobuf(path.read_bytes(), str(path))
    except HeldbyError:
        return "other"
    return "profile"


def read_profile(path: Path) -> Profile:
    """Return the profile at `path`. Raises as `parse_profile`."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror}", next_step="check the path") from error
    return parse_profile(data, str(path))


def parse_profile(data: bytes, name: str = "the profile") -> Profile:
    """Return the profile in `data`; `name` is for messages.

    Raises:
        FormatError: not a profile, or one that contradicts itself; `Truncated` when gzip ends early.
        LimitExceeded: larger than `LARGEST_BYTES` when unpacked, or stacks with too many frames.
    """
    if data.startswith(_GZIP):
        data = _unpack(data, name)
    if len(data) > LARGEST_BYTES:
        raise LimitExceeded(f"{name} has more than {LARGEST_BYTES >> 20} MiB")
    if not data:
        raise FormatError(f"{name} is empty", next_step="fetch it again")
    if is_text_profile(data[:HEAD_BYTES]):
        return parse_text(data, name)
    return parse_protobuf(data, name)


def _may_be_protobuf(head: bytes) -> bool:
    """Tell whether the first byte is the tag of a field of ``Profile``: a number, or text or message."""
    return bool(head) and 1 <= head[0] >> 3 <= 15 and head[0] & 7 in (0, 2)


def _unpack(data: bytes, name: str) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        out = unpacker.decompress(data, LARGEST_BYTES)
    except zlib.error as error:
        raise FormatError(f"{name} is a damaged gzip file", next_step="fetch it again") from error
    if unpacker.unconsumed_tail:
        raise LimitExceeded(f"{name} unpacks to more than {LARGEST_BYTES >> 20} MiB")
    if not unpacker.eof:
        raise Truncated(f"{name} ends inside its gzip data", next_step="fetch it again")
    return out
