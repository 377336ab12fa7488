"""What a program's own collector frees when it lets go of something is what was said to be freed."""

from __future__ import annotations

from pathlib import Path

import pytest

import heldby
from heldby.analysis.drilldown.what_if import what_if
from tests.support.build import build
from tests.support.process import running, wait_until_still
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace
PROGRAM = Path(__file__).parent / "programs" / "dropping"
#: What the runtime allocates or gives back for itself meanwhile: a few records of waiting goroutines; now and then
#: a thread, of several KiB. What is said wrongly is wrong each time.
NOISE = 600
ATTEMPTS = 6

#: Bytes by hand: an array of 256 each, of 800 in slots of 896; 300 sessions of which 100
#: are `recent` too, 39 elements behind the first.
FREED = {
    "main.sessions[*].Tags": 300 * 256,
    "main.recent[*].Tags": 100 * 256,
    "main.first(.Next)*.Data": 39 * 896,
    "main.fixed": 0,
}


@pytest.mark.parametrize("without", [*FREED, "main.fixed.entries", "main.sessions"])
def test_a_drop_frees_what_was_said(without: str, go: Toolchain) -> None:
    for _ in range(ATTEMPTS):
        with running(build(PROGRAM, go)) as program:
            wait_until_still(program.pid)
            table = what_if(heldby.open(program.pid).heap, [without])
            program.send(without)
            really = program.line()["freed"]
        said = sum(row["freed_bytes"] for row in table.rows())  # type: ignore[misc]
        if abs(said - really) <= NOISE:
            break

    assert abs(said - really) <= NOISE
    if without in FREED:
        assert said == FREED[without]


def test_a_variable_whose_value_the_linker_laid_out_says_what_to_name_instead(go: Toolchain) -> None:
    with running(build(PROGRAM, go)) as program:
        wait_until_still(program.pid)
        table = what_if(heldby.open(program.pid).heap, ["main.fixed"])

    assert table.title.startswith("Without main.fixed (0 references): 0 B in 0 objects would be freed")
    assert table.notes == (
        (
            "main.fixed points to a value that was laid out with the program: that and its 2 references stay, "
            "whatever main.fixed is set to; give its fields, as in main.fixed.entries"
        ),
    )
