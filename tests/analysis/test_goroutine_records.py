"""What the runtime keeps of goroutines itself is called so, and nobody is told to let go of it."""

from __future__ import annotations

import functools

import pytest

from heldby.analysis.answer import Answer
from heldby.analysis.answering import answer_of
from heldby.render.first_screen import first_screen
from tests.rss.examining import examine
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace

#: Slot of a runtime.g by release.
RECORD = {"1.21": 416, **dict.fromkeys(("1.22", "1.23", "1.24", "1.25"), 448), "1.26": 480, "1.27": 480}


@functools.cache
def answer(go: Toolchain) -> Answer:
    """100,000 goroutines that receive from one channel."""
    return answer_of(examine("goroutines", go).heap)


def test_records_of_waiting_goroutines_are_called_what_they_are(go: Toolchain) -> None:
    top = answer(go).holders[0]

    assert top.path == "goroutine main.goroutines.func1 runtime.chanrecv.gp"
    assert top.title == "100 k goroutines in main.goroutines.func1 (their runtime records)"
    assert (top.type, top.objects_at_end) == ("runtime.g", 100_000)
    assert top.retained_bytes == 100_000 * RECORD[go.minor]


def test_nobody_is_told_to_let_go_of_the_runtimes_records(go: Toolchain) -> None:
    (advice,) = answer(go).findings

    assert advice.rule == "goroutines"
    assert advice.title == "100 k goroutines wait in main.goroutines.func1: heldby goroutines TARGET"
    assert advice.evidence == {"goroutines": 100_000}
    # The runtime keeps records of ended goroutines for the next ones.
    assert advice.saving_bytes is None


def test_screen_speaks_of_goroutines(go: Toolchain) -> None:
    screen = first_screen(answer(go), width=120).plain

    assert "is held by 100 k goroutines in main.goroutines.func1 (their runtime records)" in screen
    assert "Let go of" not in screen
    assert "chanrecv" not in screen
