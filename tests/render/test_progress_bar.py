"""Progress is drawn for people who wait, and for nobody else."""

from __future__ import annotations

import io
import re
import threading
import time

import pytest
from rich.console import Console

from heldby.render.progress_bar import ProgressBar
from heldby.units import format_amount

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def terminal() -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    console = Console(
        file=file, force_terminal=True, width=100, color_system=None, _environ={"TERM": "xterm-256color"}
    )
    return console, file


def test_work_of_less_than_the_delay_draws_nothing() -> None:
    console, file = terminal()

    with ProgressBar(lambda: console) as bar, bar.phase("reading spans", 10) as phase:
        phase.advance(10)

    assert file.getvalue() == ""


def test_a_pipe_gets_nothing_however_long_it_takes() -> None:
    file = io.StringIO()

    with (
        ProgressBar(lambda: Console(file=file, force_terminal=False), delay=0.0) as bar,
        bar.phase("reading", 10),
    ):
        time.sleep(0.2)

    assert file.getvalue() == ""


def test_a_dumb_terminal_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, _environ={"TERM": "dumb"})

    with ProgressBar(lambda: console, delay=0.0) as bar, bar.phase("reading", 10):
        time.sleep(0.2)

    assert file.getvalue() == ""


def test_phase_amount_rate_and_time_left_are_drawn_and_wiped() -> None:
    console, file = terminal()

    with ProgressBar(lambda: console, delay=0.0) as bar:
        with bar.phase("copying memory", 4 << 20, "bytes") as phase:
            phase.advance(1 << 20)
            time.sleep(0.8)
        with bar.phase("finding dominators"):
            time.sleep(0.3)

    shown = ESCAPES.sub("", file.getvalue())
    assert re.search(r"copying memory .*1\.00 MiB of 4\.00 MiB, [\d.]+ [KM]iB/s, [\d.]+ s left", shown)
    assert re.search(r"finding dominators ━+ 0\.\d s", shown)
    assert file.getvalue().endswith("\r\x1b[2K\x1b[?25h\r")  # the line is wiped, the cursor is back


def test_the_listener_hears_each_phase_with_its_amount() -> None:
    heard: list[tuple[str, int, str]] = []
    bar = ProgressBar(None, listener=lambda name, _seconds, amount, unit: heard.append((name, amount, unit)))

    with bar:
        with bar.phase("spans", 5, "spans") as phase:
            phase.advance(2)
            phase.advance()
        with pytest.raises(ZeroDivisionError), bar.phase("roots"):
            raise ZeroDivisionError

    assert heard == [("spans", 3, "spans"), ("roots", 0, "")]


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    console, _file = terminal()

    for delay in (0.0, 9.0):
        with ProgressBar(lambda: console, delay=delay) as bar, bar.phase("work"):
            time.sleep(0.05)

    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("amount", "unit", "shown"),
    [(2 << 30, "bytes", "2.00 GiB"), (19_400_000, "objects", "19.4 M objects"), (7, "", "7")],
)
def test_amounts_read_as_people_say_them(amount: int, unit: str, shown: str) -> None:
    assert format_amount(amount, unit) == shown
