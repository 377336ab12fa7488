"""What every cell of the matrix must reach, and the reasons of those that cannot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.matrix.cell import Cell
from tests.support.build import Mode

HAVE_DWARF: Final = frozenset(
    mode.name
    for mode in (
        *(Mode.DEFAULT, Mode.TRIMMED, Mode.UNOPTIMISED, Mode.TAGGED, Mode.POSITION_INDEPENDENT),
        *(Mode.CGO, Mode.CGO_STATIC, Mode.RACE, Mode.ARM64),
    )
)
TYPED_WITH_DWARF: Final = 0.995
TYPED_STRIPPED: Final = 0.98
HOLDER_ERROR: Final = 0.01

_UNIQUE: Final = (
    "a goroutine of package unique walks the maps of handles after each collection: the closures of its walk, and "
    "the dead entries that it unlinks, were marked and are garbage when it is done"
)
#: Differences that are understood: release (its minor) to how many objects at most, and why.
UNDERSTOOD: Final = {"1.24": (24, _UNIQUE), "1.23": (24, _UNIQUE)}
#: Cells that cannot be made at all, and why.
IMPOSSIBLE: Final = {
    (
        "1.23",
        Mode.GARBLED.name,
    ): "garble's only release for Go 1.23 is not to be had from the module proxy any more",
}


def misses(cell: Cell) -> Iterator[str]:
    """Yield each goal that `cell` misses without a known reason, in words."""
    if (_minor(cell), cell.mode) in IMPOSSIBLE and not cell.live_bytes:
        return
    for name, failure in cell.failures.items():
        yield f"{name}: {failure}"
    allowed, _ = UNDERSTOOD.get(_minor(cell), (0, ""))
    if cell.differing > allowed:
        yield f"{cell.differing} objects differ from what the collector marked"
    if cell.miscounted:
        yield f"allocated objects differ from what the program counts: {', '.join(cell.miscounted)}"
    least = TYPED_WITH_DWARF if cell.mode in HAVE_DWARF else TYPED_STRIPPED
    if cell.typed_share < least:
        yield f"{cell.typed_share:.2%} of the live bytes are typed, not {least:.1%}"
    if cell.holder_error is None or cell.holder_error > HOLDER_ERROR:
        yield f"a known holder is off by {cell.holder_error:.2%}" if cell.holder_error else "no known holder"


def reasons(cell: Cell) -> Iterator[str]:
    """Yield the known reasons for what `cell` does not reach."""
    allowed, why = UNDERSTOOD.get(_minor(cell), (0, ""))
    if 0 < cell.differing <= allowed:
        yield why
    if cell.failures and (impossible := IMPOSSIBLE.get((_minor(cell), cell.mode))):
        yield impossible
    for name, attempts in cell.repeated.items():
        yield f"{name} was run {attempts} times: it moved between its own count and the capture"


def _minor(cell: Cell) -> str:
    return ".".join(cell.release.split(".")[:2])
