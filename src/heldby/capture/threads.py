"""`StoppedThreads`: every thread of a process held still, and let go again whatever happens."""

from __future__ import annotations

import errno
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final

from heldby.capture import ptrace
from heldby.capture.procfs import require_text, status_fields, thread_ids, thread_state
from heldby.capture.ptrace import Registers, Stop
from heldby.errors import AlreadyTraced, CaptureError, PermissionDenied, TargetGone

CANCELLING: Final = (signal.SIGINT, signal.SIGTERM)
_PATIENCE = 3.0
_UNINTERRUPTIBLE_PATIENCE = 0.05
_DEATH_PATIENCE = 1.0
_LAST_PATIENCE = 10.0


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Put Ctrl-C and SIGTERM off until the block ends."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, CANCELLING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class StoppedThreads:
    """A context manager: on entry all threads stop, on exit those that still stand run on.

    Args:
        pid: the process.
        only: a thread that is stopped alone.

    Attributes:
        registers: of each thread that stopped; a thread in uninterruptible sleep has none.
        stops: why each stands, for going on as if nothing had been.
        sleeping: threads in uninterruptible sleep: they run no code of the process either.
        began_ns: CLOCK_MONOTONIC before the first interrupt.
        ended_ns: after the last thread was let go, 0 before.
    """

    def __init__(self, pid: int, *, only: int | None = None) -> None:
        self.pid = pid
        self._only = only
        self.registers: dict[int, Registers] = {}
        self.stops: dict[int, Stop] = {}
        self.sleeping: list[int] = []
        self.began_ns = 0
        self.ended_ns = 0
        self._traced: list[int] = []

    def __enter__(self) -> StoppedThreads:
        try:
            self._stop()
        except BaseException:
            self.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def adopt(self, tid: int) -> None:
        """Take over a task that the kernel made us the tracer of; `release` lets it go."""
        self._traced.append(tid)

    def _stop(self) -> None:
        passed_by: set[int] = set()
        while True:
            # New threads are born only by threads that still run: when a look finds none, all stand.
            present = [self._only] if self._only else thread_ids(self.pid)
            new = [tid for tid in present if tid not in self._traced and tid not in passed_by]
            if not new:
                break
            seized = [tid for tid in new if self._seize(tid)]
            passed_by.update(tid for tid in new if tid not in seized)
            self.began_ns = self.began_ns or time.monotonic_ns()
            for tid in seized:
                ptrace.interrupt(tid)
            for tid in seized:
                self._await(tid)

    def _seize(self, tid: int) -> bool:
        try:
            ptrace.seize(tid)
        except OSError as error:
            if error.errno == errno.ESRCH or thread_state(self.pid, tid) in "XZ":
                return False
            raise why_not_traceable(self.pid, error) from error
        self._traced.append(tid)
        return True

    def _await(self, tid: int) -> None:
        stop = ptrace.wait_stop(tid, _UNINTERRUPTIBLE_PATIENCE)
        deadline = time.monotonic() + _PATIENCE
        while stop is None:
            state = thread_state(self.pid, tid)
            if state == "D":
                self.sleeping.append(tid)
                return
            # A dead main thread is not reported before all others are: that is for `release`.
            if state in "XZ":
                raise TargetGone(f"process {self.pid} ended while it was captured")
            if time.monotonic() > deadline:
                raise CaptureError(
                    f"thread {tid} of process {self.pid} did not stop within {_PATIENCE:.0f} s",
                    cause=f"its state is {state}",
                    next_step="try again when the machine is less busy",
                )
            stop = ptrace.wait_stop(tid, _UNINTERRUPTIBLE_PATIENCE)
        if stop.ended:
            self._traced.remove(tid)
            return
        self.stops[tid] = stop
        self.registers[tid] = ptrace.read_registers(tid)

    def release(self) -> None:
        """Let every thread go on. Threads in uninterruptible sleep follow in `release_sleeping`."""
        with signals_blocked():
            # The main thread comes last: its death is reported only when all others are gone.
            for tid in sorted(self._traced, key=lambda tid: tid == self.pid):
                if tid not in self.sleeping:
                    self._let_go(tid)
        self.ended_ns = self.ended_ns or time.monotonic_ns()

    def release_sleeping(self) -> list[int]:
        """Let threads go that woke up meanwhile; return those that sleep on after ten seconds."""
        deadline = time.monotonic() + _LAST_PATIENCE
        for tid in list(self.sleeping):
            stop = ptrace.wait_stop(tid, max(0.0, deadline - time.monotonic()))
            if stop is not None:
                self.stops[tid] = stop
                self.sleeping.remove(tid)
                self._let_go(tid)
        return list(self.sleeping)

    def _let_go(self, tid: int) -> None:
        self._traced.remove(tid)
        stop = self.stops.pop(tid, None)
        try:
            if stop is None:
                # Seized, or resumed by us, and running: only a stopped thread can be detached.
                ptrace.interrupt(tid)
                stop = ptrace.wait_stop(tid, _PATIENCE) or Stop()
            if not stop.ended:
                ptrace.detach(tid, stop.signal)
        except OSError:
            # Killed while it stood. A dead thread stays until its tracer has looked at it.
            ptrace.wait_stop(tid, _DEATH_PATIENCE)


def why_not_traceable(pid: int, error: OSError) -> CaptureError:
    """Return the error that explains why the kernel refused to trace a process."""
    tracer = status_fields(require_text(pid, "status")).get("TracerPid", "0")
    if tracer != "0":
        return AlreadyTraced(
            f"process {pid} is traced by process {tracer} already",
            cause="a debugger, strace or another capture is attached; Linux allows one tracer",
            next_step=f"end process {tracer} or wait for it, then try again",
        )
    return PermissionDenied(
        f"the kernel does not let this user trace process {pid} ({error.strerror})",
        cause="another user's process, ptrace_scope, or a container without CAP_SYS_PTRACE",
        next_step=f"heldby doctor {pid} says which and what to change",
    )
