"""The heap profile as the process itself would have served it under ``/debug/pprof/heap``, from a capture.

This follows runtime/pprof (protomem.go, proto.go; Go 1.21 to 1.27) to the letter, so that the two can be compared
sample by sample: which calls are left out, how inlined calls share a location, how counts are scaled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from heldby.golang.profile.memory_profile import MemoryProfile
from heldby.golang.profile.profile_frames import ProfileFrame
from heldby.profiles.pprof_write import FrameName, MappedCode, ProfileBuilder

SAMPLE_TYPES: Final = (
    ("alloc_objects", "count"),
    ("alloc_space", "bytes"),
    ("inuse_objects", "count"),
    ("inuse_space", "bytes"),
)
_MOST: Final = (1 << 63) - 1024  # the largest of a float


def heap_profile(
    profile: MemoryProfile, *, rate: int, code: Sequence[MappedCode] = (), time_nanos: int = 0
) -> bytes:
    """Return the profile as a ``.pb.gz``. O(buckets + frames of distinct stacks), in Python.

    Args:
        profile: the memory profile.
        rate: ``runtime.MemProfileRate``.
        code: what code is mapped where, by address.
        time_nanos: when the target was paused.
    """
    builder = ProfileBuilder(SAMPLE_TYPES, period=("space", "bytes", rate), code=code, time_nanos=time_nanos)
    locations = HeapLocations(builder, code)
    stacks: dict[bytes, list[int]] = {}
    for bucket in range(len(profile)):
        numbers = profile.stack[profile.first[bucket] : profile.first[bucket + 1]]
        key = numbers.tobytes()
        if key not in stacks:
            stacks[key] = locations.of_stack([profile.frames[number] for number in numbers.tolist()])
        size, allocs, frees = (
            int(column[bucket]) for column in (profile.size, profile.allocs, profile.frees)
        )
        values = (*scaled(allocs, size, rate), *scaled(allocs - frees, size, rate))
        # Up to Go 1.26 the size is computed from what was allocated.
        labels = {} if profile.counts_bytes and allocs <= 0 else {"bytes": size}
        builder.add_stack(stacks[key], values, labels)
    return builder.to_bytes()


def scaled(count: int, size: int, rate: int) -> tuple[int, int]:
    """Return objects and bytes that `count` samples of `size` bytes stand for (protomem.go, scaleHeapSample)."""
    if not count or not size:
        return 0, 0
    if rate <= 1:
        return count, count * size
    chance = 1 - math.exp(-size / rate)
    scale = 1 / chance if chance else math.inf
    return _whole(count * scale), _whole(count * size * scale)


def _whole(value: float) -> int:
    """Return what fits 64 bits: only a damaged capture has more."""
    return int(max(min(value, _MOST), -_MOST))


class HeapLocations:
    """Makes the locations of stacks: one for each call with all that is inlined into it (proto.go, pcDeck)."""

    def __init__(self, builder: ProfileBuilder, code: Sequence[MappedCode]) -> None:
        self._builder = builder
        self._code = code
        # By first return address: the location, and of how many addresses it is made.
        self._made: dict[int, tuple[int, int]] = {}

    def of_stack(self, stack: Sequence[ProfileFrame]) -> list[int]:
        """Return the locations of a stack, leaf first, without the runtime's own calls at the leaf end."""
        first = next((at for at, frame in enumerate(stack) if not frame.hidden), 0)
        found = self._of_shown(stack[first:])
        return found or self._of_shown(stack)

    def _of_shown(self, stack: Sequence[ProfileFrame]) -> list[int]:
        found: list[int] = []
        deck: list[ProfileFrame] = []

        def emit() -> None:
            if deck:
                found.append(self._emit(deck))
                deck.clear()

        at = 0
        while at < len(stack):
            frame = stack[at]
            made = self._made.get(frame.address)
            if made is not None and not (deck and _joins(deck[-1], frame)):
                emit()
                found.append(made[0])
                at += made[1]
                continue
            at += 1
            if frame.is_exit:
                emit()
            elif not deck or _joins(deck[-1], frame):
                deck.append(frame)
            else:
                emit()
                again = self._made.get(frame.address)
                if again is not None:
                    found.append(again[0])
                    at += again[1] - 1
                else:
                    deck.append(frame)
        emit()
        return found

    def _emit(self, deck: Sequence[ProfileFrame]) -> int:
        first = deck[0]
        names = [FrameName(frame.function, "", frame.file, frame.line, frame.start_line) for frame in deck]
        inside = (at for at, code in enumerate(self._code, 1) if code.start <= first.address < code.limit)
        mapping = next(inside, 0 if self._code else 1)
        number = self._builder.place(names, address=first.pc, mapping=mapping)
        self._made[first.address] = number, len(deck)
        return number


def _joins(last: ProfileFrame, frame: ProfileFrame) -> bool:
    """Tell whether `last` is inlined in `frame`, as far as proto.go can tell."""
    same = last.inlined and last.entry != 0 and last.entry == frame.entry
    return same and last.function != frame.function
