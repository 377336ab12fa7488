"""Numbers as people read them. Exact values stay in JSON; IEC units everywhere else."""

from __future__ import annotations

import re
from typing import Final

_SIZE: Final = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*(?:B|([KMGTP])(?:iB)?)?", re.IGNORECASE)
_IEC = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def format_bytes(count: int | float) -> str:
    """Return `count` bytes with three significant digits: ``1.02 GiB``, ``48 B``, ``-3.50 MiB``."""
    value = float(count)
    for unit in _IEC:
        if abs(value) < 1000 or unit == _IEC[-1]:
            break
        value /= 1024
    if unit == "B":
        return f"{value:.0f} B"
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{digits}f} {unit}"


def format_count(count: int | float) -> str:
    """Return a count as ``19.4 M``, ``51,203`` or ``412``; exact below a hundred thousand."""
    if abs(count) < 100_000:
        return f"{count:,.0f}"
    if abs(count) < 1_000_000:
        return f"{count / 1e3:.0f} k"
    if abs(count) < 1_000_000_000:
        return f"{count / 1e6:.1f} M"
    return f"{count / 1e9:.2f} G"


def format_seconds(seconds: float) -> str:
    """Return a duration as ``41 ms``, ``0.9 s``, ``3 min``, ``5 h`` or ``3 d``."""
    if seconds < 0.1:
        return f"{seconds * 1e3:.0f} ms" if seconds >= 0.01 else f"{seconds * 1e3:.1f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86_400:.0f} d"


def parse_bytes(text: str) -> int | None:
    """Return the bytes that ``4096``, ``10KiB``, ``10k`` or ``1.5 GiB`` stand for; None for anything else."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        return None
    power = "KMGTP".index(match[2].upper()) + 1 if match[2] else 0
    return int(float(match[1]) * 1024**power) if "." in match[1] else int(match[1]) * 1024**power


def format_size_class(size: int) -> str:
    """Return the size of a slot exactly, as Go's size classes are known: ``48 B``, ``1,152 B``, ``32 KiB``."""
    return f"{size // 1024} KiB" if size >= 4096 and size % 1024 == 0 else f"{size:,} B"


def format_amount(amount: float, unit: str) -> str:
    """Return an amount of work: ``1.02 GiB`` for bytes, ``19.4 M objects`` for the rest."""
    if unit in ("bytes", "B"):
        return format_bytes(amount)
    return f"{format_count(amount)} {unit}".rstrip()
