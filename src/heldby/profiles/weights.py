"""What each function, line, file or package weighs in a profile: flat and cumulative, as pprof counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from heldby.golang.functions.functions import package_of
from heldby.profiles.pprof_write import FrameName
from heldby.profiles.profile import Profile

Granularity = Literal["function", "line", "file", "package"]
GRANULARITIES: Final[tuple[Granularity, ...]] = ("function", "line", "file", "package")
Key = tuple[str, str, int]
"""Function or package, file, line; what the granularity does not tell is empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The weights of one sample type; rows by falling absolute flat (or cumulative) value, as pprof sorts.

    Attributes:
        keys: what each row is.
        flat: ``int64[rows]``, of the samples that end there.
        cum: ``int64[rows]``, of the samples that pass there, each counted once.
        total: the sum of absolute values; of a comparison that keeps its base, of the base alone.
    """

    keys: tuple[Key, ...]
    flat: NDArray[np.int64]
    cum: NDArray[np.int64]
    total: int


def weigh(
    profile: Profile, sample_type: int, granularity: Granularity = "function", *, by_cum: bool = False
) -> Weights:
    """Return the weights of `profile`; O(frames) with NumPy, O(locations) in Python.

    Rows where both numbers are 0 are left out, as pprof leaves them out.
    """
    weight = profile.values[:, sample_type]
    keys: dict[Key, int] = {}
    nodes = [
        [keys.setdefault(_key(frame, granularity), len(keys)) for frame in location.frames]
        for location in profile.locations
    ]
    starts = np.zeros(len(nodes) + 1, np.int64)
    np.cumsum([len(part) for part in nodes], out=starts[1:])
    flattened = np.array([node for part in nodes for node in part], np.int64)
    flat, cum = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.int64)
    sample = np.repeat(np.arange(len(profile)), np.diff(profile.offsets))
    first = starts[profile.stacks]
    size = starts[profile.stacks + 1] - first
    has_stack = np.flatnonzero(np.diff(profile.offsets))
    leaves = profile.stacks[profile.offsets[has_stack]]
    np.add.at(flat, flattened[starts[leaves]], weight[has_stack])
    inside = np.arange(int(size.sum())) - np.repeat(np.cumsum(size) - size, size)
    visited = np.repeat(sample, size) * max(len(keys), 1) + flattened[np.repeat(first, size) + inside]
    pairs = np.unique(visited)
    np.add.at(cum, pairs % max(len(keys), 1), weight[pairs // max(len(keys), 1)])
    names = list(keys)
    weight_of, other = (cum, flat) if by_cum else (flat, cum)
    shown = np.flatnonzero((flat != 0) | (cum != 0)).tolist()
    # pprof's order: FlatNameOrder and CumNameOrder of internal/graph/graph.go.
    shown.sort(key=lambda row: (-abs(int(weight_of[row])), _printed(names[row]), -abs(int(other[row]))))
    return Weights(
        keys=tuple(names[row] for row in shown),
        flat=flat[shown],
        cum=cum[shown],
        total=_total(profile, weight),
    )


def _key(frame: FrameName, granularity: Granularity) -> Key:
    if granularity == "function":
        return frame.name, "", 0
    if granularity == "line":
        return frame.name, frame.file, frame.line
    if granularity == "file":
        return "", frame.file, 0
    return package_of(frame.name), "", 0


def _printed(key: Key) -> str:
    name, file, line = key
    place = f"{file}:{line}" if line else file
    return f"{name} {place}" if name and place else name or place


def _total(profile: Profile, weight: NDArray[np.int64]) -> int:
    of_base = int(np.abs(weight[profile.is_base]).sum()) if profile.is_base is not None else 0
    return of_base or int(np.abs(weight).sum())
