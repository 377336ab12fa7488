"""One cell of the matrix: the scenario programs of one Go release in one build, held against the collector."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from heldby.errors import HeldbyError
from tests.scenarios.reading import Reading, not_the_runtimes_own, read
from tests.support.build import BuildFailed, Mode
from tests.support.process import ProgramFailed
from tests.support.toolchains import Toolchain, ToolchainMissing, toolchain

#: Of the scenario programs those that together have every kind of object and root; their goroutines stand still.
PROGRAMS: Final = ("closures", "goroutines", "growth", "interfaces", "maps", "specials", "structs", "syncs")
#: Its roots are measured by the program itself, one by one.
GROWTH: Final = "growth"

MOST_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What was measured in one cell.

    Attributes:
        release: of Go, ``1.27.3``.
        mode: how the programs were built.
        marked: objects that the collector marked, over all programs.
        differing: objects marked and not reachable, or the other way round; the runtime's own records aside.
        miscounted: programs whose number or bytes of allocated objects are not what they count themselves.
        live_bytes: over all programs.
        typed_bytes: of these, in objects of known type.
        named_bytes: of these, below roots with a name or known users.
        holder_error: the largest deviation of a known holder from its measured bytes, as a share.
        repeated: programs that were run more than once, since one moved while it was looked at: how often.
        failures: what went wrong, by program; such a program is not counted above.
    """

    release: str
    mode: str
    marked: int = 0
    differing: int = 0
    miscounted: tuple[str, ...] = ()
    live_bytes: int = 0
    typed_bytes: int = 0
    named_bytes: int = 0
    holder_error: float | None = None
    repeated: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def typed_share(self) -> float:
        """Typed bytes by live bytes."""
        return self.typed_bytes / self.live_bytes if self.live_bytes else 0.0

    @property
    def named_share(self) -> float:
        """Bytes below named roots by live bytes."""
        return self.named_bytes / self.live_bytes if self.live_bytes else 0.0


def measure(go: Toolchain, mode: Mode, programs: tuple[str, ...] = PROGRAMS) -> Cell:
    """Build, run, capture and read the programs of one cell. A second each when the toolchain's cache is warm."""
    readings: dict[str, Reading] = {}
    failures: dict[str, str] = {}
    repeated: dict[str, int] = {}
    for name in programs:
        try:
            readings[name], attempts = _read_while_still(name, go, mode)
        except (HeldbyError, BuildFailed, ProgramFailed, ToolchainMissing) as error:
            failures[name] = f"{type(error).__name__}: {error}"
        else:
            if attempts > 1 and not _differing(readings[name]):
                repeated[name] = attempts
    growth = readings.get(GROWTH)
    return Cell(
        release=go.version,
        mode=mode.name,
        marked=sum(reading.totals.marked_objects or 0 for reading in readings.values()),
        differing=sum(_differing(reading) for reading in readings.values()),
        miscounted=tuple(name for name, reading in readings.items() if not _counts_agree(reading)),
        live_bytes=sum(reading.totals.live_bytes for reading in readings.values()),
        typed_bytes=sum(reading.totals.typed_bytes or 0 for reading in readings.values()),
        named_bytes=sum(reading.named_bytes for reading in readings.values()),
        holder_error=None if growth is None else _holder_error(growth),
        repeated=repeated,
        failures=failures,
    )


def _read_while_still(name: str, go: Toolchain, mode: Mode) -> tuple[Reading, int]:
    """Return a reading and how many it took.

    The runtime's own goroutines may allocate between the program's count and our look, the more so on a loaded
    machine. A reader that is wrong is wrong each time.
    """
    attempts = 1
    reading = read(name, go, mode)
    while attempts < MOST_ATTEMPTS and (_differing(reading) or not _counts_agree(reading)):
        attempts += 1
        reading = read.__wrapped__(name, go, mode)
    return reading, attempts


def measure_release(release: str, mode: Mode) -> Cell:
    """Measure the cell of a release, whose toolchain is fetched first; without it the cell says so."""
    try:
        return measure(toolchain(release), mode)
    except ToolchainMissing as error:
        return Cell(release=release, mode=mode.name, failures={"toolchain": str(error)})


def _differing(reading: Reading) -> int:
    return len(not_the_runtimes_own((*reading.unmarked, *reading.unreached)))


def _counts_agree(reading: Reading) -> bool:
    said = reading.ready["memstats"]
    return (reading.totals.objects, reading.allocated_bytes) == (said["HeapObjects"], said["HeapAlloc"])


def _holder_error(reading: Reading) -> float:
    """Return by how much the roots' bytes miss what the program measured; by size where names are lost."""
    measured = {root: growth["bytes"] for root, growth in reading.ready["measured"].items()}
    retained: Counter[str] = Counter()
    for place in reading.places:
        retained[place.root] += place.shallow_bytes
    if not set(measured) <= set(retained):
        found = sorted(retained.values(), reverse=True)[: len(measured)]
        pairs = list(zip(sorted(measured.values(), reverse=True), found, strict=True))
    else:
        pairs = [(size, retained[root]) for root, size in measured.items()]
    return max(abs(size - got) / size for size, got in pairs)
