"""A diagnosis on the screen: the verdict first, then each check, then what to change."""

from __future__ import annotations

import pytest

from heldby.capture import Check, Diagnosis
from heldby.render.diagnosis import diagnosis_text

OK = Check("machine", "ok", "Linux 6.1 amd64")
YAMA = Check(
    "ptrace_scope", "fail", "1: only children", "run with sudo, or sysctl kernel.yama.ptrace_scope=0"
)
SLOW = Check("fork", "warn", "the program has no room: it would stand still for 2.0 s")


def test_a_failed_check_is_the_verdict_and_its_advice_stands_below() -> None:
    assert diagnosis_text(Diagnosis(42, (OK, YAMA))).plain == (
        "Process 42 cannot be captured: 1: only children\n"
        "  ok    machine       Linux 6.1 amd64\n"
        "  fail  ptrace_scope  1: only children\n"
        "                      → run with sudo, or sysctl kernel.yama.ptrace_scope=0"
    )


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [((OK,), "Process 42 can be captured."), ((OK, SLOW), "Process 42 can be captured, with a drawback.")],
)
def test_a_warning_does_not_prevent_a_capture(checks: tuple[Check, ...], verdict: str) -> None:
    assert diagnosis_text(Diagnosis(42, checks)).plain.split("\n")[0] == verdict


def test_what_the_process_calls_itself_is_escaped_and_wrapped() -> None:
    check = Check("process", "fail", "\x1b[2J" + "evil " * 30, "\u202e")

    shown = diagnosis_text(Diagnosis(42, (check,)), 60).plain

    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert max(map(len, shown.split("\n"))) <= 60
