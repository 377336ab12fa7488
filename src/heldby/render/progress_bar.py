"""Progress on stderr: the phase, how far it is, its rate and the time left.

Nothing is drawn when stderr is no terminal, or when all the work takes less than a second; rich, which draws it,
is not even imported then. The bar lives in a thread of its own, so it moves while a kernel (which holds no GIL)
works.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Final

from heldby.progress import Phase

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

DELAY_SECONDS: Final = 1.0

StepListener = Callable[[str, float, int, str], None]
"""Is told of each finished phase: name, seconds, amount of work, unit."""


class ProgressBar:
    """A `heldby.progress.Progress` drawn by rich; use it as a context manager.

    Args:
        console: makes the console to draw on; None draws nothing and only tells the listener.
        delay: seconds of silence at the start.
        listener: is told of each phase when it ends.
    """

    def __init__(
        self,
        console: Callable[[], Console] | None,
        *,
        delay: float = DELAY_SECONDS,
        listener: StepListener | None = None,
    ) -> None:
        self._console = console
        self._listener = listener
        self._lock = threading.Lock()
        self._ended = False
        self._phase: _Running | None = None
        self._bar: Progress | None = None
        self._timer: threading.Timer | None = None
        if console is not None:
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
        """Begin to draw, with the phase that runs by now."""
        from heldby.render.progress_drawing import new_bar

        assert self._console is not None
        bar = new_bar(self._console())
        if bar is None:
            return
        with self._lock:
            if self._ended:
                return
            self._bar = bar
            if self._phase is not None:
                self._phase.draw(bar)
            bar.start()

    @contextmanager
    def phase(self, name: str, total: int | None = None, unit: str = "") -> Iterator[Phase]:
        """Show `name` until the block ends (see `heldby.progress.Progress`)."""
        running = _Running(name, total, unit)
        with self._lock:
            self._phase = running
            if self._bar is not None:
                running.draw(self._bar)
        try:
            yield running
        finally:
            with self._lock:
                self._phase = None
                running.wipe()
            if self._listener is not None:
                self._listener(name, time.monotonic() - running.started, running.amount, unit)


class _Running:
    """The `Phase` of one block."""

    def __init__(self, name: str, total: int | None, unit: str) -> None:
        self._name, self._total, self._unit = name, total, unit
        self._drawn: tuple[Progress, TaskID] | None = None
        self.started = time.monotonic()
        self.amount = 0

    def draw(self, bar: Progress) -> None:
        """Add the phase to `bar`, as far as it is."""
        task = bar.add_task(self._name, total=self._total, completed=self.amount, unit=self._unit)
        # rich counts from when a task was added, by the same clock.
        bar.tasks[-1].start_time = self.started
        self._drawn = bar, task

    def wipe(self) -> None:
        """Take the phase off its bar."""
        if self._drawn is not None:
            bar, task = self._drawn
            bar.remove_task(task)

    def advance(self, amount: int = 1) -> None:
        """Add `amount` units of finished work."""
        self.amount += amount
        if self._drawn is not None:
            bar, task = self._drawn
            bar.update(task, completed=self.amount)
