"""Two profiles compared: one minus the other, as ``pprof -base`` and ``pprof -diff_base`` do it.

Samples are the same when their places and labels are (profile/merge.go); what adds up to nothing goes. With
`keep_base` the samples that are taken away stay apart from the others, and shares are of them alone
(internal/report/report.go, computeTotal).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from heldby.errors import UsageError
from heldby.profiles.profile import Location, Profile


def subtracted(profile: Profile, base: Profile, *, keep_base: bool) -> Profile:
    """Return `profile` minus `base`; O(frames).

    Raises:
        UsageError: they have no sample type in common, or count different things.
    """
    types = tuple(kind for kind in profile.sample_types if kind in base.sample_types)
    if not types or profile.period_type != base.period_type:
        raise UsageError(
            "the profiles count different things",
            cause=f"one counts {_names(profile)}, the base {_names(base)}",
            next_step="compare two profiles of the same kind, such as two of /debug/pprof/heap",
        )
    places: dict[tuple[object, ...], int] = {}
    locations: list[Location] = []
    rows: dict[tuple[object, ...], int] = {}
    stacks: list[tuple[int, ...]] = []
    labels, is_base, values = [], [], []
    for sign, part in ((1, profile), (-1, base)):
        numbers = [_place(places, locations, location) for location in part.locations]
        columns = [part.sample_types.index(kind) for kind in types]
        part_values = part.values[:, columns] * sign
        for row in range(len(part)):
            if not part_values[row].any():
                continue
            at = part.stacks[part.offsets[row] : part.offsets[row + 1]].tolist()
            stack = tuple(numbers[place] for place in at)
            marked = keep_base and sign < 0
            key = (stack, part.labels[row], marked)
            number = rows.setdefault(key, len(rows))
            if number == len(stacks):
                stacks.append(stack)
                labels.append(part.labels[row])
                is_base.append(marked)
                values.append(part_values[row].copy())
            else:
                values[number] += part_values[row]
    kept = [number for number, value in enumerate(values) if value.any()]
    offsets = np.zeros(len(kept) + 1, np.int64)
    np.cumsum([len(stacks[number]) for number in kept], out=offsets[1:])
    return replace(
        profile,
        sample_types=types,
        values=np.array([values[number] for number in kept], np.int64).reshape(len(kept), len(types)),
        offsets=offsets,
        stacks=np.array([place for number in kept for place in stacks[number]], np.int32),
        locations=tuple(locations),
        labels=tuple(labels[number] for number in kept),
        is_base=np.array([is_base[number] for number in kept], np.bool_),
        notes=tuple(dict.fromkeys((*profile.notes, *base.notes))),
    )


def _place(places: dict[tuple[object, ...], int], locations: list[Location], location: Location) -> int:
    number = places.setdefault(location.identity, len(places))
    if number == len(locations):
        locations.append(location)
    return number


def _names(profile: Profile) -> str:
    return ", ".join(name for name, _ in profile.sample_types)
