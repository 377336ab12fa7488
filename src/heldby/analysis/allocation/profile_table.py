"""A profile as the table that `go tool pprof -top` prints, with what a profile cannot tell in a line below."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePosixPath

import numpy as np

from heldby.analysis.table import Column, Kind, Table, column, text_column
from heldby.errors import UsageError
from heldby.profiles.profile import Profile
from heldby.profiles.weights import Granularity, Weights, weigh
from heldby.units import format_bytes, format_count, format_seconds


def profile_table(
    profile: Profile,
    name: str,
    *,
    sample_type: str | None = None,
    granularity: Granularity = "function",
    by_cum: bool = False,
    compact: bool = False,
    pid: int | None = None,
) -> Table:
    """Return what weighs most in `profile`, heaviest first; the numbers are those of pprof.

    Args:
        profile: a profile, or the outcome of a comparison.
        name: what to call it.
        sample_type: ``inuse_space``, ``alloc_objects`` ...; the writer's own choice if not given.
        granularity: what a row stands for.
        by_cum: sort by what passes through, not by what ends there.
        compact: for a screen: ``decode.go:1004`` in place of the whole path and the line.
        pid: the process that it came from, where that runs here.

    Raises:
        UsageError: the profile has no such sample type.
    """
    index = profile.sample_index(sample_type)
    if index is None:
        names = ", ".join(kind for kind, _ in profile.sample_types)
        raise UsageError(f"{name} has no sample type {sample_type}", next_step=f"choose one of: {names}")
    kind, unit = profile.sample_types[index]
    weights = weigh(profile, index, granularity, by_cum=by_cum)
    return Table(
        name="profile",
        columns=(*_numbers(weights, unit), *_names(weights, granularity, compact=compact)),
        title=_title(profile, name, index, weights.total),
        notes=(_untold(profile, kind, pid), *profile.notes),
    )


def _numbers(weights: Weights, unit: str) -> tuple[Column, ...]:
    kind = {"bytes": Kind.BYTES, "count": Kind.COUNT, "nanoseconds": Kind.SECONDS}.get(unit, Kind.NUMBER)
    in_unit = 1e9 if kind is Kind.SECONDS else 1
    total = weights.total or 1
    return (
        column("flat", kind, weights.flat / in_unit if in_unit != 1 else weights.flat),
        column("share", Kind.SHARE, weights.flat / total),
        column("sum", Kind.SHARE, np.cumsum(weights.flat) / total),
        column("cum", kind, weights.cum / in_unit if in_unit != 1 else weights.cum),
        column("cum_share", Kind.SHARE, weights.cum / total),
    )


def _names(weights: Weights, granularity: Granularity, *, compact: bool) -> tuple[Column, ...]:
    keys = weights.keys
    first = [key[0] or "(no name)" for key in keys]
    if granularity == "file":
        return (text_column("file", [key[1] or "(no name)" for key in keys]),)
    if granularity != "line":
        return (text_column(granularity, first),)
    if compact:
        places = [f"{PurePosixPath(key[1]).name}:{key[2]}" if key[1] else None for key in keys]
        return text_column("function", first), text_column("place", places)
    files = text_column("file", [key[1] or None for key in keys])
    lines = np.array([key[2] for key in keys], np.int64)
    return text_column("function", first), files, column("line", Kind.NUMBER, lines, unknown=lines == 0)


def _title(profile: Profile, name: str, index: int, total: int) -> str:
    kind, unit = profile.sample_types[index]
    if profile.is_base is not None:
        # Shares are of the base, or of all that went up or down.
        whole = (
            f"of the base's {_amount(total, unit)}"
            if profile.is_base.any()
            else f"{_amount(total, unit)} up or down"
        )
        difference = _amount(int(profile.values[:, index].sum()), unit)
        parts = [name, f"minus its base: {kind} {difference}, {whole}"]
    else:
        stacks = "1 stack" if len(profile) == 1 else f"{format_count(len(profile))} stacks"
        parts = [name, f"{kind} {_amount(total, unit)} in {stacks}"]
    if 0 < profile.time_nanos < 1 << 62:
        taken = datetime.fromtimestamp(profile.time_nanos / 1e9, UTC)
        parts.append(f"taken {taken:%Y-%m-%d %H:%M:%S} UTC")
    return " · ".join(parts)


def _amount(value: int, unit: str) -> str:
    if unit == "bytes":
        return format_bytes(value)
    if unit == "nanoseconds":
        return format_seconds(value / 1e9)
    return format_count(value) if unit == "count" else f"{format_count(value)} {unit}"


def _untold(profile: Profile, kind: str, pid: int | None) -> str:
    command = f"heldby {pid}" if pid is not None else "heldby PID"
    if profile.period_type[0].startswith("goroutine") or kind.startswith("goroutine"):
        return f"what the goroutines keep alive, no profile says: {command}"
    if profile.period_type[0] in ("space", "") and ("space" in kind or "objects" in kind):
        return f"who holds it, and why RSS is larger, no profile says: {command}"
    return f"this profile says nothing about memory; who holds that: {command}"
