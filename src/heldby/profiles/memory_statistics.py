"""``runtime.MemStats`` as the text form of the heap profile ends with it (runtime/pprof, writeHeapInternal)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from heldby.errors import FormatError

_LINE: Final = re.compile(r"# (\w+) = (\d{1,19})(?: / (\d{1,19}))?$")
_SHARE: Final = re.compile(r"# GCCPUFraction = ([0-9.e+-]{1,32})$")
_HEADING: Final = "# runtime.MemStats"
_NEEDED: Final = (
    *("HeapAlloc", "HeapInuse", "HeapIdle", "HeapReleased", "HeapSys", "Sys", "Stack", "MSpan", "MCache"),
    *("BuckHashSys", "GCSys", "OtherSys", "NextGC", "LastGC", "NumGC", "NumForcedGC"),
)


@dataclass(frozen=True, slots=True)
class MemStats:
    """The fields by Go's names, in bytes unless Go says otherwise.

    Attributes:
        values: the number behind each name; of ``Stack``, ``MSpan`` and ``MCache`` the part in use.
        taken: what was taken from the system for ``Stack``, ``MSpan`` and ``MCache``.
        cpu_share: ``GCCPUFraction``, None when it is not there.
    """

    values: dict[str, int]
    taken: dict[str, int]
    cpu_share: float | None


def parse_mem_stats(data: bytes, name: str) -> MemStats:
    """Return the MemStats in the text of a heap profile.

    Raises:
        FormatError: there are none, or some are missing.
    """
    text = data.decode("utf-8", "replace")
    _, found, tail = text.rpartition(_HEADING)
    values: dict[str, int] = {}
    taken: dict[str, int] = {}
    share = None
    for line in tail.splitlines() if found else ():
        if match := _LINE.match(line):
            values[match[1]] = int(match[2])
            if match[3] is not None:
                taken[match[1]] = int(match[3])
        elif match := _SHARE.match(line):
            share = _share(match[1])
    missing = [field for field in _NEEDED if field not in values]
    if missing:
        raise FormatError(
            f"{name} does not end with runtime.MemStats",
            cause=f"{', '.join(missing[:3])} are missing; is it the text form of a Go heap profile?",
            next_step="give the address as http://HOST:PORT",
        )
    return MemStats(values, taken, share)


def _share(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number <= 1 else None
