"""`StoppedThreads`: every thread of a process held still, and let go again whatever happens."""

from __future__ import annotations

import errno
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final

from heldby.capture import ptrace
from heldby.capture.processor import Processor
from heldby.capture.procfs import (
    is_kernel_worker,
    read_text,
    require_text,
    status_fields,
    thread_ids,
    thread_state,
)
from heldby.capture.ptrace import Registers, Stop
from heldby.errors import AlreadyTraced, CaptureError, PermissionDenied, TargetGone

CANCELLING: Final = (signal.SIGINT, signal.SIGTERM)
# While the target stands still we must not be put to sleep: it would stand as long as we do.
SUSPENDING: Final = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
_PATIENCE = 3.0
_FIRST_PATIENCE = 0.002
_UNINTERRUPTIBLE_PATIENCE = 0.05
_DEATH_PATIENCE = 1.0
_LAST_PATIENCE = 10.0


@contextmanager
def signals_blocked(numbers: Sequence[int] = (*CANCELLING, *SUSPENDING)) -> Iterator[None]:
    """Put Ctrl-C, Ctrl-Z and SIGTERM off until the block ends."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class StoppedThreads:
    """A context manager: on entry all threads stop, on exit those that still stand run on.

    Args:
        pid: the process.
        processor: this machine's.
        only: a thread that is stopped alone.

    Attributes:
        registers: of each thread that stopped; of one in uninterruptible sleep what is known, if anything.
        stops: why each stands, for going on as if nothing had been.
        sleeping: threads in uninterruptible sleep: they run no code of the process either.
        began_ns: CLOCK_MONOTONIC before the first interrupt.
        ended_ns: after the last thread was let go, 0 before.
    """

    def __init__(self, pid: int, processor: Processor[Any], *, only: int | None = None) -> None:
        self.pid = pid
        self.processor = processor
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
            self.release_sleeping()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        if kind is not None:
            self.release_sleeping()

    @property
    def pause_ns(self) -> int:
        """Nanoseconds from the first interrupt until the last thread was let go."""
        return self.ended_ns - self.began_ns if self.began_ns else 0

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
            if is_kernel_worker(self.pid, tid):
                return False
            raise why_not_traceable(self.pid, error) from error
        self._traced.append(tid)
        return True

    def _await(self, tid: int) -> None:
        stop = ptrace.wait_stop(tid, _FIRST_PATIENCE)
        began = time.monotonic()
        while stop is None:
            state = thread_state(self.pid, tid)
            waited = time.monotonic() - began
            if state == "D" and self._leave_asleep(tid, waited > _UNINTERRUPTIBLE_PATIENCE):
                return
            # A dead main thread is not reported before all others are: that is for `release`.
            if state in "XZ":
                raise TargetGone(f"process {self.pid} ended while it was captured")
            if waited > _PATIENCE:
                raise CaptureError(
                    f"thread {tid} of process {self.pid} did not stop within {_PATIENCE:.0f} s",
                    cause=f"its state is {state}",
                    next_step="try again when the machine is less busy",
                )
            stop = ptrace.wait_stop(tid, _FIRST_PATIENCE)
        if stop.ended:
            self._traced.remove(tid)
            return
        self.stops[tid] = stop
        self.registers[tid] = ptrace.read_registers(tid, self.processor.registers)

    def _leave_asleep(self, tid: int, patience_is_over: bool) -> bool:
        """Give a thread in uninterruptible sleep up; if it is in a system call, /proc tells most registers.

        A parent in vfork(2), as os/exec uses it, sleeps so until its child has executed another program:
        at once. Any other sleep, a page that is read from disk say, mostly ends in milliseconds.
        """
        words = (read_text(self.pid, f"task/{tid}/syscall") or "").split()
        is_in_call = len(words) == 9 and words[0] != "-1"
        if not patience_is_over and not (is_in_call and int(words[0]) in self.processor.forking_calls):
            return False
        self.sleeping.append(tid)
        if is_in_call:
            registers = self.processor.registers()
            for name, word in zip(self.processor.call_registers, words, strict=True):
                setattr(registers, name, int(word, 0))  # the number is decimal, the others have 0x
            self.registers[tid] = registers
        return True

    def release(self) -> None:
        """Let every thread go on. Threads in uninterruptible sleep follow in `release_sleeping`."""
        with signals_blocked():
            # The main thread comes last: its death is reported only when all others are gone.
            for tid in sorted(self._traced, key=lambda tid: tid == self.pid):
                if tid not in self.sleeping:
                    self._let_go(tid)
        self.ended_ns = self.ended_ns or time.monotonic_ns()

    def release_sleeping(self, seconds: float = _LAST_PATIENCE) -> None:
        """Let threads go that woke up since `release`; wait for the others at most that long in all.

        A thread that sleeps on stays traced until our process ends, and stops when it wakes before that.
        """
        deadline = time.monotonic() + seconds
        for tid in list(self.sleeping):
            stop = ptrace.wait_stop(tid, max(0.0, deadline - time.monotonic()))
            if stop is not None:
                self.stops[tid] = stop
                self.sleeping.remove(tid)
                self._let_go(tid)

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


def already_traced(pid: int, tracer: str) -> AlreadyTraced:
    """Return the error for a process that another one traces."""
    return AlreadyTraced(
        f"process {pid} is traced by process {tracer} already",
        cause="a debugger, strace or another capture is attached; Linux allows one tracer",
        next_step=f"end process {tracer} or wait for it, then try again",
    )


def why_not_traceable(pid: int, error: OSError) -> CaptureError:
    """Return the error that explains why the kernel refused to trace a process."""
    tracer = status_fields(require_text(pid, "status")).get("TracerPid", "0")
    if tracer != "0":
        return already_traced(pid, tracer)
    return PermissionDenied(
        f"the kernel does not let this user trace process {pid} ({error.strerror})",
        cause="another user's process, ptrace_scope, or a container without CAP_SYS_PTRACE",
        next_step=f"heldby doctor {pid} says which and what to change",
    )
