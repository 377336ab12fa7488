"""One cell of the matrix, measured as all are: the newest release, stripped."""

from __future__ import annotations

import pytest

from tests.matrix.cell import measure
from tests.matrix.goals import misses
from tests.support.build import Mode
from tests.support.toolchains import NEWEST, toolchain

pytestmark = pytest.mark.ptrace


def test_a_cell_reaches_its_goals() -> None:
    cell = measure(toolchain(NEWEST), Mode.STRIPPED, ("growth", "maps"))

    assert list(misses(cell)) == []
    assert cell.differing == 0
    # The roots of growth alone hold 24 MB and more, and maps 3 MB.
    assert cell.live_bytes > 27_000_000
    assert cell.holder_error is not None
