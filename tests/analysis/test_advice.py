"""Advice beyond the largest holder: goroutines to end, a collector to run sooner, by programs that need it."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

import heldby
from heldby.analysis.answer import Answer, Finding
from heldby.analysis.answering import answer_of
from heldby.render.first_screen import first_screen
from tests.support.build import build
from tests.support.process import running, wait_until_still
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace

PROGRAMS = Path(__file__).parent / "programs"
MIB = 1 << 20
LOAD = 128 << 10
LEAKED = 300


@functools.cache
def answer(go: Toolchain, reason: str) -> Answer:
    with running(build(PROGRAMS / "advice", go), [reason]) as program:
        wait_until_still(program.pid)
        return answer_of(heldby.open(program.pid).heap)


def advice(go: Toolchain, reason: str, rule: str) -> Finding:
    (found,) = [finding for finding in answer(go, reason).findings if finding.rule == rule]
    return found


def test_leaked_goroutines_are_to_be_ended_with_what_they_keep(go: Toolchain) -> None:
    found = advice(go, "leak", "leaked-goroutines")

    assert found.title == "End 300 leaked goroutines, started by main.leak"
    assert found.evidence["goroutines"] == LEAKED
    # Each keeps its load and its channel; the rest of a goroutine is the runtime's and stays.
    assert 0 <= found.evidence["kept_bytes"] - LEAKED * LOAD <= LEAKED * 208
    # A new goroutine's stack has 2 KiB, of which at least one page is resident.
    assert LEAKED * 2048 <= found.evidence["stack_bytes"] <= LEAKED * 8192
    assert found.saving_bytes == found.evidence["kept_bytes"] + found.evidence["stack_bytes"]
    assert Path(found.evidence["file"]).name == "main.go"


def test_the_screen_names_the_go_statement_of_leaked_goroutines(go: Toolchain) -> None:
    source = (PROGRAMS / "advice" / "main.go").read_text().splitlines()
    line = next(number for number, text in enumerate(source, 1) if "go wait(" in text)

    screen = first_screen(answer(go, "leak"), width=100).plain

    assert "1  End 300 leaked goroutines, started by main.leak  saves 38." in screen
    assert f"started at  main.go:{line}" in screen
    assert "heldby goroutines TARGET --leaked lists them" in screen


def test_a_large_goal_full_of_garbage_is_to_be_lowered(go: Toolchain) -> None:
    """32 MiB live: the heap may reach 160 MiB with GOGC=400 and 96 with 200, and has 128."""
    found = advice(go, "garbage", "collect-sooner")

    assert found.title == "Set GOGC=200: most of RSS is garbage"
    assert found.evidence["goal_bytes"] == pytest.approx(96 * MIB, rel=0.05)
    assert found.evidence["collections"] == pytest.approx(2, rel=0.05)
    assert found.saving_bytes == pytest.approx(32 * MIB, rel=0.2)


def test_what_saves_most_comes_first(go: Toolchain) -> None:
    for reason in ("leak", "garbage"):
        savings = [finding.saving_bytes or 0 for finding in answer(go, reason).findings]
        assert savings == sorted(savings, reverse=True)


def test_nobody_is_told_to_end_few_goroutines_or_to_collect_a_live_heap(go: Toolchain) -> None:
    assert [finding.rule for finding in answer(go, "garbage").findings if "goroutine" in finding.rule] == []
    assert [finding.rule for finding in answer(go, "leak").findings if finding.rule == "collect-sooner"] == []
