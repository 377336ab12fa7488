"""Variables that point to values which the compiler laid out: names go through them."""

from __future__ import annotations

from pathlib import Path

import pytest

import heldby
from heldby.analysis.answering import answer_of
from tests.support.build import Mode, build
from tests.support.process import running, wait_until_still
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace

PROGRAM = Path(__file__).parent / "programs" / "static"


def test_static_value_is_named_by_the_variable_that_points_to_it(go: Toolchain) -> None:
    with running(build(PROGRAM, go)) as program:
        wait_until_still(program.pid)
        answer = answer_of(heldby.open(program.pid).heap)

    held = {holder.path: holder for holder in answer.holders}
    # 100 slices of 1,000 bytes in slots of 1,024, and 50 arrays of 512 bytes.
    assert held["main.manager.paths[*][*]"].retained_bytes == 100 * 1024
    assert held["main.manager.inner.parts[*][*]"].retained_bytes == 50 * 512


def test_static_value_of_a_stripped_program_is_known_by_the_users_of_its_variable(go: Toolchain) -> None:
    with running(build(PROGRAM, go, Mode.STRIPPED)) as program:
        wait_until_still(program.pid)
        answer = answer_of(heldby.open(program.pid).heap)

    largest = answer.holders[0]
    assert largest.retained_bytes == 100 * 1024
    assert largest.root_kind == "global"
    assert "main.main" in largest.used_by
