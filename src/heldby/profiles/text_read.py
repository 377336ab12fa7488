"""Reads the texts that Go serves with ``debug=1`` and ``debug=2``: of memory, counts, contention and goroutines.

They are written by runtime/pprof/pprof.go (``writeHeapInternal``, ``printCountProfile``, ``writeProfileInternal``,
``printStackRecord``) and runtime/traceback.go. Functions and lines stand in comments behind each record, so the
program is not needed to name them; where they are missing, frames are called by their addresses. Numbers are scaled
up from the samples as google/pprof scales them (profile/legacy_profile.go, scaleHeapSample, parseContentionSample).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from heldby.errors import FormatError, LimitExceeded, Truncated
from heldby.profiles.pprof_write import FrameName
from heldby.profiles.profile import Labels, Location, Profile

MOST_FRAMES: Final = 20_000_000

_HEAP: Final = re.compile(
    r"heap profile: *\d+: *\d+ *\[ *\d+: *\d+ *\] *@ *(?P<kind>heap[_a-z0-9]*)/?(?P<rate>\d{0,18})"
)
_HEAP_RECORD: Final = re.compile(
    r"(-?\d{1,19}): *(-?\d{1,19}) *\[ *(\d{1,19}): *(\d{1,19}) *\] @([ x0-9a-f]*)$"
)
_COUNT: Final = re.compile(r"(?P<kind>\S+) profile: total \d+$")
_COUNT_RECORD: Final = re.compile(r"(\d{1,19}) @([ x0-9a-f]*)$")
# Of mutexes, of everything that blocks, and of C++ programs.
_GO_MUTEX: Final = "--- mutex:"
_CONTENTION: Final = re.compile(r"--- (?:mutex:|contention:|contentionz )")
_CONTENTION_RECORD: Final = re.compile(r" *(\d{1,19}) +(\d{1,19}) @([ x0-9a-f]*)$")
_SETTING: Final = re.compile(r" *(?P<name>[a-z][a-z /]*?) *= *(?P<number>\d{1,18}) *$")
_FRAME: Final = re.compile(
    r"#\t0x[0-9a-f]+(?:\t+(?P<name>.+?)\+0x[0-9a-f]+\t+(?P<file>.+):(?P<line>\d{1,9}))?$"
)
_GOROUTINE: Final = re.compile(r"goroutine \d+(?: [^\[\]]*)? \[(?P<state>[^\]]*)\]:$")
_PLACE: Final = re.compile(r"\t(?P<file>.+):(?P<line>\d{1,9})(?: \+0x[0-9a-f]+)?$")
_ELIDED: Final = re.compile(r"\.\.\.(?:\d+|additional) frames elided\.\.\.$")
_OTHER: Final = ("--- threadz",)

Stack = tuple[FrameName, ...]


def is_text_profile(head: bytes) -> bool:
    """Tell whether a file that begins with `head` is one of Go's texts."""
    first = head.lstrip().split(b"\n", 1)[0].decode("utf-8", "replace").rstrip()
    return bool(
        any(pattern.match(first) for pattern in (_HEAP, _COUNT, _CONTENTION, _GOROUTINE))
        or first.startswith(_OTHER)
    )


def parse_text(data: bytes, name: str) -> Profile:
    """Return the profile in the text `data`; O(lines).

    Raises:
        FormatError: a text that is not understood, or that is damaged; `Truncated` when it ends early.
        LimitExceeded: more than `MOST_FRAMES`.
    """
    lines = data.decode("utf-8", "surrogateescape").lstrip().splitlines()
    if data[-1:] != b"\n":
        raise Truncated(f"{name} ends inside a line", next_step="fetch it again")
    first = lines[0].rstrip()
    if heap := _HEAP.match(first):
        return _heap(lines, heap, name)
    if count := _COUNT.match(first):
        return _counts(lines, count["kind"], name)
    if _CONTENTION.match(lines[0]):
        return _contention(lines, name)
    if _GOROUTINE.match(first):
        return _goroutines(lines, name)
    raise FormatError(
        f"{name} is a text profile that heldby does not read: {first[:60]}",
        cause="it is one of a C++ program",
        next_step="fetch it again as a protobuf",
    )


def _heap(lines: list[str], header: re.Match[str], name: str) -> Profile:
    # Go writes twice the rate, as an early C++ profiler did (runtime/pprof/pprof.go, writeHeapInternal).
    rate = int(header["rate"] or 0) // (2 if header["kind"] == "heap" else 1)
    rows: list[tuple[tuple[int, ...], Stack]] = []
    for line, stack in _records(lines, _HEAP_RECORD, name):
        inuse, inuse_bytes, alloc, alloc_bytes = (int(line[number]) for number in range(1, 5))
        rows.append(((*_scaled(alloc, alloc_bytes, rate), *_scaled(inuse, inuse_bytes, rate)), stack))
    types = (
        ("alloc_objects", "count"),
        ("alloc_space", "bytes"),
        ("inuse_objects", "count"),
        ("inuse_space", "bytes"),
    )
    return _profile(types, rows, period=("space", "bytes"))


def _counts(lines: list[str], kind: str, name: str) -> Profile:
    rows = [((int(line[1]),), stack) for line, stack in _records(lines, _COUNT_RECORD, name)]
    return _profile(((kind, "count"),), rows, period=(kind, "count"))


def _contention(lines: list[str], name: str) -> Profile:
    """Return who waited how often and how long; sampled waits are multiplied by the period."""
    settings: dict[str, int] = {}
    first = 1
    while first < len(lines) and (found := _SETTING.match(lines[first])):
        settings[found["name"]] = int(found["number"])
        first += 1
    period, frequency = settings.get("sampling period", 1), settings.get("cycles/second", 0)
    # Since Go 1.17 the runtime multiplies each sampled event itself (runtime/mprof.go, saveblockevent) and writes
    # the fraction all the same, so that google/pprof multiplies once more. The protobuf has the true numbers.
    notes: tuple[str, ...] = ()
    if lines[0].startswith(_GO_MUTEX) and period != 1:
        notes = (f"go tool pprof takes this text for one that is not scaled yet (sampling period={period})",)
        period = 1
    rows: list[tuple[tuple[int, ...], Stack]] = []
    for line, stack in _records(lines, _CONTENTION_RECORD, name, first):
        cycles, count = int(line[1]), int(line[2])
        if period:
            cycles = int(float(cycles) * float(period) / (frequency / 1e9)) if frequency else cycles
            count *= period
        rows.append(((count, cycles), stack))
    types = (("contentions", "count"), ("delay", "nanoseconds"))
    return _profile(types, rows, period=("contentions", "count"), notes=notes)


def _records(
    lines: list[str], pattern: re.Pattern[str], name: str, first: int = 1
) -> Iterable[tuple[re.Match[str], Stack]]:
    """Yield each record from line `first` on with its stack, leaf first: by its comments, else by its addresses."""
    record: re.Match[str] | None = None
    frames: list[FrameName] = []
    known: dict[str, FrameName] = {}

    def stack() -> Stack:
        assert record is not None
        addresses = record[record.re.groups].split()
        return tuple(frames) or tuple(FrameName(address) for address in addresses)

    for number, line in enumerate(lines[first:], first + 1):
        if line.startswith("---"):  # the program's mappings follow
            break
        if line.startswith("#\t"):
            if line not in known:
                known[line] = _frame(line)
            frames.append(known[line])
        elif line.startswith("#") or not line.strip():
            continue
        else:
            if record is not None:
                yield record, stack()
            frames = []
            record = pattern.match(line)
            if record is None:
                raise FormatError(
                    f"{name} is damaged in line {number}: {line[:60]}",
                    cause="it was cut off or edited",
                    next_step="fetch it again",
                )
    if record is not None:
        yield record, stack()


def _frame(line: str) -> FrameName:
    found = _FRAME.match(line)
    if found is None or found["name"] is None:
        return FrameName(line[2:].split("\t", 1)[0])
    return FrameName(found["name"], found["name"], found["file"], int(found["line"]))


def _goroutines(lines: list[str], name: str) -> Profile:
    """Return the stacks of all goroutines, as ``debug=2`` and an uncaught panic print them."""
    counts: Counter[tuple[Stack, str]] = Counter()
    notes: Counter[str] = Counter()
    state: str | None = None
    frames: list[FrameName] = []
    function = ""
    for line in (*lines, ""):
        if not line:
            if state is not None:
                counts[tuple(frames), state] += 1
            state, frames, function = None, [], ""
        elif state is None:
            found = _GOROUTINE.match(line)
            if found is None:
                notes["lines that are no goroutine's"] += 1
                continue
            # "chan receive, 5 minutes, locked to thread": the wait is not what makes goroutines alike.
            state = found["state"].split(", ")[0]
        elif place := _PLACE.match(line):
            if function:
                frames.append(FrameName(function, function, place["file"], int(place["line"])))
            function = ""
        elif _ELIDED.match(line):
            notes["stacks that Go cut short"] += 1
        elif line.startswith("created by "):
            break_at = line.rfind(" in goroutine ")
            function = line[11:break_at] if break_at > 0 else line[11:]
        else:
            function = line[: line.rfind("(")] if line.endswith(")") else line
    if not counts:
        raise FormatError(f"{name} has no goroutine in it", next_step="fetch it again")
    rows = [((number,), stack) for (stack, _), number in counts.items()]
    labels = [(("state", state, ""),) for _, state in counts]
    found_notes = tuple(f"{what}: {number:,}" for what, number in notes.items())
    return _profile(
        (("goroutine", "count"),), rows, period=("goroutine", "count"), labels=labels, notes=found_notes
    )


def _scaled(count: int, size: int, rate: int) -> tuple[int, int]:
    """Return what `count` sampled objects of `size` bytes together stand for."""
    if not count or not size:
        return 0, 0
    if rate <= 1:
        return count, size
    # Go's division truncates towards zero, as int() does.
    chance = 1 - math.exp(-abs(size / count) / rate)
    scale = 1 / chance if chance > 0 else 1.0  # a rate that no program sets: leave the numbers alone
    return int(count * scale), int(size * scale)


def _profile(
    types: tuple[tuple[str, str], ...],
    rows: Sequence[tuple[tuple[int, ...], Stack]],
    *,
    period: tuple[str, str],
    labels: Sequence[Labels] | None = None,
    notes: tuple[str, ...] = (),
) -> Profile:
    places: dict[FrameName, int] = {}
    stacks: list[int] = []
    offsets = np.zeros(len(rows) + 1, np.int64)
    for number, (_, stack) in enumerate(rows):
        stacks += [places.setdefault(frame, len(places)) for frame in stack]
        offsets[number + 1] = len(stacks)
        if len(stacks) > MOST_FRAMES:
            raise LimitExceeded(f"the profile's stacks have more than {MOST_FRAMES:,} frames")
    try:
        values = np.array([values for values, _ in rows], np.int64).reshape(len(rows), len(types))
    except OverflowError as error:
        raise FormatError(
            "a number of the profile does not fit 64 bits", next_step="fetch it again"
        ) from error
    return Profile(
        sample_types=types,
        values=values,
        offsets=offsets,
        stacks=np.array(stacks, np.int32),
        locations=tuple(Location((frame,), (frame,)) for frame in places),
        labels=tuple(labels) if labels is not None else ((),) * len(rows),
        period_type=period,
        notes=notes,
    )
