"""A pprof profile as plain values: samples as columns, places as rows that samples refer to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldby.profiles.pprof_write import FrameName

Labels = tuple[tuple[str, str | int, str], ...]
"""Key, value and unit of each label, sorted."""


class Location(NamedTuple):
    """A place in the code.

    Attributes:
        frames: the calls that are inlined there, the callee first; never empty.
        identity: equal for the same place of two profiles; the address counts from the start of its mapping.
    """

    frames: tuple[FrameName, ...]
    identity: tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A stack, leaf first, with one number per sample type."""

    stack: tuple[FrameName, ...]
    values: tuple[int, ...]
    labels: dict[str, str | int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Profile:
    """What a profile says.

    Attributes:
        sample_types: ``(name, unit)`` for each number of a sample.
        values: ``int64[samples, sample types]``.
        offsets: ``int64[samples + 1]``, where the stack of each sample begins in `stacks`.
        stacks: ``int32[...]``, rows of `locations`, leaf first.
        locations: the places.
        labels: of each sample.
        default_sample_type: as the writer named it; empty when it named none.
        period_type: ``(name, unit)`` of what is counted between two samples, ``("space", "bytes")``.
        time_nanos: 0 when the writer gave none.
        is_base: ``bool[samples]``: subtracted for `heldby.profiles.comparison`; shares are of these alone.
        notes: what a reader should know, in plain words.
    """

    sample_types: tuple[tuple[str, str], ...]
    values: NDArray[np.int64]
    offsets: NDArray[np.int64]
    stacks: NDArray[np.int32]
    locations: tuple[Location, ...]
    labels: tuple[Labels, ...]
    default_sample_type: str = ""
    period_type: tuple[str, str] = ("", "")
    comments: tuple[str, ...] = ()
    executable: str = ""
    build_id: str = ""
    time_nanos: int = 0
    is_base: NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def samples(self) -> tuple[Sample, ...]:
        """The samples one by one; O(frames) in Python."""
        out = []
        for row, labels in enumerate(self.labels):
            at = self.stacks[self.offsets[row] : self.offsets[row + 1]].tolist()
            out.append(
                Sample(
                    stack=tuple(frame for place in at for frame in self.locations[place].frames),
                    values=tuple(self.values[row].tolist()),
                    labels={key: value for key, value, _ in labels},
                )
            )
        return tuple(out)

    def sample_index(self, wanted: str | None = None) -> int | None:
        """Return the column of a sample type; pprof's own choice for None, None when there is no such type.

        As pprof does it (profile/index.go): a number counts, ``inuse_space`` finds ``space``, and without a
        wish it is the writer's default, else the last.
        """
        names = [name for name, _ in self.sample_types]
        if not wanted:
            default = self.default_sample_type
            return names.index(default) if default in names else len(names) - 1
        if wanted.isascii() and wanted.isdigit():
            return int(wanted) if int(wanted[:6]) < len(names) else None
        for name in (wanted, wanted.removeprefix("inuse_")):
            if name in names:
                return names.index(name)
        return None
