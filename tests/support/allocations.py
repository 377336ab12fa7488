"""The program ``sites`` and what it allocates where, for whom: written out from its source."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

import heldby
from heldby.heap.heap import Heap
from tests.support.build import Mode, build
from tests.support.process import running, wait_until_still
from tests.support.toolchains import Toolchain

PROGRAM: Final = Path(__file__).resolve().parents[1] / "analysis" / "programs" / "sites"

#: Bytes by function and by who holds them; None is garbage.
CELLS: Final = {
    ("main.newSmall", "main.left"): 4096 * 1024,
    ("main.newLarge", "main.left"): 512 * 65536,
    ("main.newSmall", "main.right"): 8192 * 1024,
    ("main.newLarge", "main.right"): 64 * 65536,
    ("main.newInlined", "main.right"): 2048 * 4096,
    ("main.newSmall", None): 2048 * 1024,
}


def sites_program(go: Toolchain, mode: Mode = Mode.DEFAULT) -> Path:
    """Return the executable of the program ``sites``."""
    return build(PROGRAM, go, mode)


@functools.cache
def sites_heap(go: Toolchain, rate: int, mode: Mode = Mode.DEFAULT) -> Heap:
    """Return the heap of the program, sampled once in `rate` bytes."""
    with running(sites_program(go, mode), [str(rate)]) as program:
        wait_until_still(program.pid)
        return heldby.open(program.pid).heap
