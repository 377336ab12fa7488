"""Reads the protobuf of pprof profiles into plain values. Distrusts every index and every size."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError

from heldby.errors import FormatError, LimitExceeded
from heldby.profiles.pprof_write import FrameName
from heldby.profiles.profile import Labels, Location, Profile
from heldby.profiles.schema import profile_class

MOST_FRAMES: Final = 20_000_000
"""Frames of all stacks together; locations with many lines can multiply."""
_ADDRESSES: Final = (1 << 64) - 1


def parse_protobuf(data: bytes, name: str) -> Profile:
    """Return the profile in `data`, which is not compressed; `name` is for messages.

    Raises:
        FormatError: not a profile, or one that contradicts itself.
        LimitExceeded: more than `MOST_FRAMES`.
    """
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


def _profile(message: Any) -> Profile:
    strings = _Strings(message.string_table)
    types = tuple((strings[item.type], strings[item.unit]) for item in message.sample_type)
    if not types:
        raise FormatError("the profile has no sample types", cause="it is no pprof profile, or an empty one")
    locations, rows = _locations(message, strings)
    depth = np.array([len(location.frames) for location in locations], np.int64)
    samples = message.sample
    values = np.empty((len(samples), len(types)), np.int64)
    offsets = np.zeros(len(samples) + 1, np.int64)
    stacks: list[int] = []
    labels: list[Labels] = []
    frames = 0
    for number, item in enumerate(samples):
        if len(item.value) != len(types):
            raise FormatError(f"a sample has {len(item.value)} values for {len(types)} sample types")
        values[number] = item.value
        stack = [rows[place] for place in item.location_id]
        frames += int(depth[stack].sum()) if stack else 0
        if frames > MOST_FRAMES:
            raise LimitExceeded(f"the profile's stacks have more than {MOST_FRAMES:,} frames")
        stacks += stack
        offsets[number + 1] = len(stacks)
        labels.append(_labels(item, strings))
    program = message.mapping[0] if message.mapping else None
    hidden = strings[message.drop_frames]
    period = message.period_type
    return Profile(
        sample_types=types,
        values=values,
        offsets=offsets,
        stacks=np.array(stacks, np.int32),
        locations=tuple(locations),
        labels=tuple(labels),
        default_sample_type=strings[message.default_sample_type],
        period_type=(strings[period.type], strings[period.unit]),
        comments=tuple(strings[index] for index in message.comment),
        executable=strings[program.filename] if program else "",
        build_id=strings[program.build_id] if program else "",
        time_nanos=message.time_nanos,
        notes=(f"frames that its writer wants hidden are shown: {hidden}",) if hidden else (),
    )


def _locations(message: Any, strings: _Strings) -> tuple[list[Location], dict[int, int]]:
    """Return the places, and the row of each by its id."""
    functions = {
        item.id: (strings[item.name], strings[item.system_name], strings[item.filename], item.start_line)
        for item in message.function
    }
    mappings = {item.id: _mapping(item, strings) for item in message.mapping}
    mappings.setdefault(0, (0, ()))
    rows: dict[int, int] = {}
    locations: list[Location] = []
    for item in message.location:
        start, mapping = mappings[item.mapping_id]
        lines = [(functions[line.function_id], line.line, line.column) for line in item.line]
        frames = tuple(FrameName(name, system, file, line) for (name, system, file, _), line, _ in lines)
        identity = ((item.address - start) & _ADDRESSES, mapping, item.is_folded, tuple(lines))
        rows[item.id] = len(locations)
        locations.append(Location(frames or (FrameName(f"{item.address:#x}"),), identity))
    return locations, rows


def _mapping(item: Any, strings: _Strings) -> tuple[int, tuple[object, ...]]:
    """Return start and identity, as google/pprof has it (profile/merge.go, Mapping.key)."""
    size = (item.memory_limit - item.memory_start + 0xFFF) & ~0xFFF
    return item.memory_start, (size, item.file_offset, strings[item.build_id] or strings[item.filename])


def _labels(item: Any, strings: _Strings) -> Labels:
    if not item.label:
        return ()
    found: list[tuple[str, str | int, str]] = [
        (
            strings[label.key],
            strings[label.str] if label.str else label.num,
            strings[label.num_unit],
        )
        for label in item.label
    ]
    return tuple(sorted(found, key=lambda label: (label[0], isinstance(label[1], str), str(label[1]))))


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
