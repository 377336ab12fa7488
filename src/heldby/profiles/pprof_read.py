"""Reads pprof profiles, gzipped or plain, into plain values. Distrusts every index and every size."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import DecodeError

from heldby.errors import FormatError, LimitExceeded, Truncated
from heldby.profiles.pprof_write import FrameName
from heldby.profiles.schema import profile_class

LARGEST_BYTES: Final = 1 << 30
"""A profile that unpacks to more is refused: gzip can turn 1 MB into 1 GB."""
MOST_FRAMES: Final = 20_000_000
"""Frames of all stacks together; locations with many lines can multiply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A stack, leaf first, with one number per sample type."""

    stack: tuple[FrameName, ...]
    values: tuple[int, ...]
    labels: dict[str, str | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a profile says.

    Attributes:
        sample_types: ``(name, unit)`` for each number of a sample.
        default_sample_type: as the writer named it; empty when it named none.
        time_nanos: 0 when the writer gave none.
    """

    sample_types: tuple[tuple[str, str], ...]
    samples: tuple[Sample, ...]
    default_sample_type: str
    comments: tuple[str, ...]
    executable: str
    build_id: str
    time_nanos: int


def read_profile(path: Path) -> Profile:
    """Return the profile at `path`. Raises `FormatError`, `LimitExceeded`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror}", next_step="check the path") from error
    return parse_profile(data, str(path))


def parse_profile(data: bytes, name: str = "the profile") -> Profile:
    """Return the profile in `data`; `name` is for messages.

    Raises:
        FormatError: not a profile, or one that contradicts itself; `Truncated` when gzip ends early.
        LimitExceeded: larger than `LARGEST_BYTES` when unpacked.
    """
    if data[:2] == b"\x1f\x8b":
        data = _unpack(data, name)
    message = profile_class()()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise FormatError(f"{name} is no pprof profile", cause="its protobuf does not parse") from error
    try:
        return _profile(message)
    except (IndexError, KeyError) as error:
        raise FormatError(
            f"{name} contradicts itself: it refers to number {error}, which it does not define",
            cause="the file is damaged, or is no pprof profile",
            next_step="fetch it again",
        ) from error


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


def _profile(message: Any) -> Profile:
    strings = _Strings(message.string_table)
    functions = {
        item.id: (strings[item.name], strings[item.system_name], strings[item.filename])
        for item in message.function
    }
    frames: dict[int, tuple[FrameName, ...]] = {}
    for location in message.location:
        lines = tuple(FrameName(*functions[line.function_id], line.line) for line in location.line)
        frames[location.id] = lines or (FrameName(f"{location.address:#x}"),)
    types = tuple((strings[item.type], strings[item.unit]) for item in message.sample_type)
    samples = []
    frame_count = 0
    for item in message.sample:
        if len(item.value) != len(types):
            raise FormatError(f"a sample has {len(item.value)} values for {len(types)} sample types")
        frame_count += sum(len(frames[number]) for number in item.location_id)
        if frame_count > MOST_FRAMES:
            raise LimitExceeded(f"the profile's stacks have more than {MOST_FRAMES:,} frames")
        labels: dict[str, str | int] = {
            strings[label.key]: strings[label.str] if label.str else label.num for label in item.label
        }
        stack = tuple(frame for number in item.location_id for frame in frames[number])
        samples.append(Sample(stack=stack, values=tuple(item.value), labels=labels))
    program = message.mapping[0] if message.mapping else None
    return Profile(
        sample_types=types,
        samples=tuple(samples),
        default_sample_type=strings[message.default_sample_type],
        comments=tuple(strings[index] for index in message.comment),
        executable=strings[program.filename] if program else "",
        build_id=strings[program.build_id] if program else "",
        time_nanos=message.time_nanos,
    )


class _Strings:
    """The string table; an index out of range raises, negative ones too."""

    def __init__(self, table: Any) -> None:
        self._table = list(table)

    def __getitem__(self, index: int) -> str:
        if index == 0:
            return ""
        if not 0 < index < len(self._table):
            raise IndexError(index)
        return str(self._table[index])
