"""Progress on stderr: the phase, how far it is, its rate and the time left.

Nothing is drawn when stderr is no terminal, or when all the work takes less than a second. The bar lives
in a thread of its own, so it moves while a kernel (which holds no GIL) works.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from heldby.progress import Phase
from heldby.units import format_bytes, format_count, format_seconds

DELAY_SECONDS: Final = 1.0

StepListener = Callable[[str, float, int, str], None]
"""Is told of each finished phase: name, seconds, amount of work, unit."""


class _Amount(ProgressColumn):
    """``1.2 of 3.4 GiB, 512 MiB/s, 4 s left``; leaves out what is unknown."""

    def render(self, task: Task) -> Text:
        unit = str(task.fields.get("unit", ""))
        parts = []
        if task.completed:
            done = amount_text(task.completed, unit)
            parts.append(f"{done} of {amount_text(task.total, unit)}" if task.total else done)
            if task.elapsed and task.elapsed > 0.5:
                parts.append(f"{amount_text(task.completed / task.elapsed, unit)}/s")
        if task.total and task.completed and task.elapsed:
            left = task.elapsed * (task.total - task.completed) / task.completed
            parts.append(f"{format_seconds(max(left, 0.0))} left")
        elif task.elapsed and task.elapsed >= 0.1:
            parts.append(format_seconds(task.elapsed))
        return Text(", ".join(parts), no_wrap=True, style="dim")


def amount_text(amount: float, unit: str) -> str:
    """Return an amount of work: ``1.02 GiB`` for bytes, ``19.4 M objects`` for the rest."""
    if unit in ("bytes", "B"):
        return format_bytes(amount)
    return f"{format_count(amount)} {unit}".rstrip()


class ProgressBar:
    """A `heldby.progress.Progress` drawn by rich; use it as a context manager.

    Args:
        console: where to draw; None draws nothing and only tells the listener.
        delay: seconds of silence at the start.
        listener: is told of each phase when it ends.
    """

    def __init__(
        self,
        console: Console | None,
        *,
        delay: float = DELAY_SECONDS,
        listener: StepListener | None = None,
    ) -> None:
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._lock = threading.Lock()
        self._ended = False
        self._listener = listener
        self._timer: threading.Timer | None = None
        if console is not None and console.is_terminal and not console.is_dumb_terminal:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                _Amount(),
                console=console,
                transient=True,
                refresh_per_second=8,
            )
            self._timer = threading.Timer(delay, self._show)
            self._timer.daemon = True

    def __enter__(self) -> ProgressBar:
        if self._timer is not None:
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._ended = True
            if self._bar is not None:
                self._bar.stop()

    def _show(self) -> None:
        with self._lock:
            if not self._ended and self._bar is not None:
                self._bar.start()

    @contextmanager
    def phase(self, name: str, total: int | None = None, unit: str = "") -> Iterator[Phase]:
        """Show `name` until the block ends (see `heldby.progress.Progress`)."""
        task = None
        if self._bar is not None:
            task = self._bar.add_task(name, total=total, unit=unit)
        running = _Running(self._bar, task)
        start = time.perf_counter()
        try:
            yield running
        finally:
            if self._bar is not None and task is not None:
                self._bar.remove_task(task)
            if self._listener is not None:
                self._listener(name, time.perf_counter() - start, running.amount, unit)


class _Running:
    """The `Phase` of one block."""

    def __init__(self, bar: Progress | None, task: TaskID | None) -> None:
        self._bar = bar
        self._task = task
        self.amount = 0

    def advance(self, amount: int = 1) -> None:
        """Add `amount` units of finished work."""
        self.amount += amount
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, amount)
