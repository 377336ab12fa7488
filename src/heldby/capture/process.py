"""`capture_process`: the memory of a live Go process as an ELF core.

Stop the threads, note their registers and what /proc says, fork, let the threads go, read the fork at
leisure.
What may go wrong and why nothing of it harms the target: docs/capture.md.
"""

from __future__ import annotations

import errno
import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final, Literal

from heldby.capture import ptrace
from heldby.capture.code_room import Room, find_rooms
from heldby.capture.destination import Destination
from heldby.capture.forking import Copy, ForkFailed, end_copy, end_strays, fork_process, settle_copy
from heldby.capture.headroom import Headroom
from heldby.capture.injection import CODE_SIZE
from heldby.capture.pages import SourceGone
from heldby.capture.processor import Processor, this_processor
from heldby.capture.procfs import (
    namespace_ids,
    require_text,
    status_fields,
    thread_ids,
    thread_state,
)
from heldby.capture.program import Program, open_go_libraries, open_program
from heldby.capture.recording import (
    PauseFacts,
    Recording,
    complete_facts,
    estimate_pages,
    read_pause_facts,
)
from heldby.capture.seccomp import refused_calls
from heldby.capture.threads import CANCELLING, SUSPENDING, StoppedThreads, already_traced, signals_blocked
from heldby.errors import Cancelled, CaptureError, NoSpace, NotGoProcess, TargetGone
from heldby.memory.core_file import CoreFile, open_core
from heldby.memory.mappings import parse_maps
from heldby.progress import QUIET, Progress
from heldby.version import __version__

Method = Literal["auto", "fork", "stop"]
_WATCH_SECONDS: Final = 0.03
_MARGIN_BYTES: Final = 32 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A process's memory, taken.

    Attributes:
        core: opened; its `note` holds the facts below and what /proc said.
        method: how it was taken.
        fallback: why it was not forked, when that was tried or ruled out; else None.
        pause_ns: from the first thread's interruption until the last thread ran on.
        seconds: the whole capture.
        captured_bytes: page data in the file, the program's own file not counted.
    """

    core: CoreFile
    method: Literal["fork", "stop"]
    fallback: str | None
    pause_ns: int
    seconds: float
    captured_bytes: int
    file_bytes: int


def capture_process(
    pid: int,
    destination: Path | None,
    *,
    method: Method = "auto",
    force: bool = False,
    any_program: bool = False,
    progress: Progress = QUIET,
) -> Capture:
    """Copy the memory of process `pid` into a core file, or into memory when `destination` is None.

    The process stands still for about the time of a fork and runs on while it is copied; with ``stop``, and
    where it cannot be forked, for the whole copy. Takes disk or memory for the resident private pages and the
    program.

    Args:
        pid: a running Go program on Linux amd64 or arm64.
        destination: must not exist unless `force`.
        method: ``auto`` forks, and stops where that is impossible or unsafe.
        force: replace `destination`.
        any_program: do not ask whether the program is written in Go.
        progress: told the phases.

    Raises:
        TargetGone, PermissionDenied, AlreadyTraced, NotGoProcess, NoSpace: as their names say.
        UsageError: the destination exists.
        CaptureError: it cannot be written, or `method` is ``fork`` and forking failed.
        Unsupported: this machine is neither, or its kernel has pages that are not of 4 KiB.
        Cancelled: Ctrl-C or SIGTERM; the process goes on and nothing is left of the capture.
    """
    started = time.monotonic()
    processor = this_processor()
    fields = status_fields(require_text(pid, "status"))
    pid = int(fields.get("Tgid", pid))  # a thread's id names its process
    program = open_program(pid)
    libraries: list[Program] = []
    try:
        libraries += open_go_libraries(pid, program, parse_maps(require_text(pid, "maps")))
        if not program.is_go and not libraries and not any_program:
            raise NotGoProcess(
                f"process {pid} runs {program.path}, which is no Go program",
                cause="neither the file nor a library of the process has a Go function table",
                next_step="give the PID of a Go program; for a script or a wrapper that of its child",
            )
        _require_untraced(pid)
        with _cancellable(), Destination(destination, force=force) as output:
            job = _Job(pid, processor, program, libraries, output, progress, started)
            return job.run(method)
    finally:
        for file in (program, *libraries):
            file.close()


class _Job:
    """One capture under way."""

    def __init__(
        self,
        pid: int,
        processor: Processor[Any],
        program: Program,
        libraries: Sequence[Program],
        output: Destination,
        progress: Progress,
        started: float,
    ) -> None:
        self.pid = pid
        self.processor = processor
        self.program = program
        self.libraries = libraries
        self.output = output
        self.progress = progress
        self.started = started
        self.fallback: str | None = None
        self.restored: bool | None = None
        self.pause_ns = 0

    def run(self, method: Method) -> Capture:
        status = require_text(self.pid, "status")
        self.output.require_space((estimate_pages(status) or 0) + self._file_bytes() + _MARGIN_BYTES)
        if method == "auto":
            self.fallback = self._why_not_fork(status)
        try:
            if method != "stop" and self.fallback is None:
                try:
                    return self._by_forking()
                except ForkFailed as error:
                    if thread_state(self.pid, self.pid) in "XZ":
                        raise TargetGone(f"process {self.pid} ended while it was captured") from error
                    if method == "fork":
                        raise
                    self.fallback = error.message
                    self.output.restart()
            return self._by_stopping()
        except OSError as error:
            raise self._explain(error) from error

    def _why_not_fork(self, status: str) -> str | None:
        """Return why forking this process is impossible or could harm it, None if there is no such reason."""
        fields = status_fields(status)
        if fields.get("State", "").startswith("T"):
            return "the process is stopped by a signal"
        in_memory = (estimate_pages(status) or 0) + self._file_bytes() if self.output.path is None else 0
        if reason := Headroom(self.pid).why_too_little(status, in_memory):
            return reason
        if fields.get("Seccomp", "0") != "0":
            return self._why_not_past_seccomp()
        return None

    def _why_not_past_seccomp(self) -> str | None:
        """Try the fork on the seccomp filters of the main thread, which stops for a moment."""
        try:
            with StoppedThreads(self.pid, self.processor, only=self.pid) as threads:
                filters = [ptrace.read_seccomp_filters(tid) for tid in threads.stops]
        except OSError:
            return "the process has a seccomp filter that may not be read (that takes CAP_SYS_ADMIN)"
        rooms = self._rooms()
        if rooms and any(refused_calls(self.processor.calls, tuple(item), rooms[0].addr) for item in filters):
            return "a seccomp filter of the process forbids the fork"
        return None

    def _file_bytes(self) -> int:
        return sum(file.size for file in (self.program, *self.libraries))

    def _rooms(self) -> list[Room]:
        return find_rooms(self.pid, self.program, parse_maps(require_text(self.pid, "maps")), CODE_SIZE)

    def _watch(self, headroom: Headroom, threads: StoppedThreads) -> Callable[[], None]:
        """Return a guard that lets late threads go, and gives the copy up when memory runs short."""
        asked = time.monotonic()

        def guard() -> None:
            nonlocal asked
            if threads.sleeping:
                threads.release_sleeping(0)
            if time.monotonic() - asked < _WATCH_SECONDS:
                return
            asked = time.monotonic()
            if headroom.is_short():
                raise ForkFailed(
                    "memory ran short while the copy was read",
                    cause="the service writes much, close to the limit of its cgroup or of the machine",
                    next_step="use --method stop",
                )

        return guard

    def _by_forking(self) -> Capture:
        rooms = self._rooms()
        copy: Copy | None = None
        recording = Recording(self.pid, self.processor, self.program, self.libraries, self.output.fd)
        try:
            # A signal that came in the pause is raised as the inner block ends: the copy is known by then.
            with self.progress.phase("forking the process"), signals_blocked():
                facts, copy, threads = self._fork(rooms)
            settle_copy(copy)
            facts = complete_facts(facts, copy.pid, self.pid)
            recording.copy(copy.pid, facts, self.progress, self._watch(Headroom(self.pid), threads))
        except SourceGone:
            raise ForkFailed(
                "the copy of the process was killed while it was read",
                cause="memory ran out",
                next_step="use --method stop",
            ) from None
        finally:
            if copy is not None:
                with signals_blocked():
                    self.restored = end_copy(self.pid, copy)
                    threads.release_sleeping()
        return self._finish(recording, facts, "fork")

    def _fork(self, rooms: list[Room]) -> tuple[PauseFacts, Copy, StoppedThreads]:
        inner_ids = namespace_ids(self.pid, thread_ids(self.pid))
        threads = StoppedThreads(self.pid, self.processor)
        try:
            with _without_collector(), threads:
                facts = self._facts(threads, inner_ids)
                copy = fork_process(threads, rooms)
        except BaseException:
            end_strays(self.pid, self.program.path)
            raise
        finally:
            self.pause_ns += threads.pause_ns  # of a fork that failed as well
        return facts, copy, threads

    def _by_stopping(self) -> Capture:
        inner_ids = namespace_ids(self.pid, thread_ids(self.pid))
        recording = Recording(self.pid, self.processor, self.program, self.libraries, self.output.fd)
        try:
            with signals_blocked(SUSPENDING), StoppedThreads(self.pid, self.processor) as threads:
                facts = complete_facts(self._facts(threads, inner_ids), self.pid, self.pid)
                recording.copy(self.pid, facts, self.progress, lambda: None)
        except SourceGone:
            raise TargetGone(f"process {self.pid} ended while it was captured") from None
        self.pause_ns += threads.pause_ns
        threads.release_sleeping()
        return self._finish(recording, facts, "stop")

    def _facts(self, threads: StoppedThreads, inner_ids: dict[int, int]) -> PauseFacts:
        taken_at = datetime.now(UTC).astimezone().isoformat()
        return read_pause_facts(self.pid, taken_at, threads, inner_ids)

    def _finish(self, recording: Recording, facts: PauseFacts, method: Literal["fork", "stop"]) -> Capture:
        about = {
            "heldby": __version__,
            "method": method,
            "fallback": self.fallback,
            "pause_ns": self.pause_ns,
            "code_restored": self.restored,
        }
        seconds = recording.finish(facts, about, self.started)
        self.output.commit()
        # The descriptor lives as long as the map: an unnamed capture in memory ends with its last reader.
        core = open_core(self.output.path or Path(f"/proc/self/fd/{self.output.fd}"))
        if self.output.path is None:
            core = replace(core, path=Path(f"/proc/{self.pid}"))  # a name for messages
        return Capture(
            core=core,
            method=method,
            fallback=self.fallback,
            pause_ns=self.pause_ns,
            seconds=seconds,
            captured_bytes=recording.captured_bytes,
            file_bytes=recording.file_bytes,
        )

    def _explain(self, error: OSError) -> CaptureError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return NoSpace(
                f"the capture could not be written: {error.strerror}",
                cause="the disk or the quota is full; nothing was left behind",
                next_step="name a file on a disk with more room",
            )
        if error.errno == errno.ESRCH:
            return TargetGone(f"process {self.pid} ended while it was captured")
        return CaptureError(f"process {self.pid} could not be captured: {error.strerror or error}")


def _require_untraced(pid: int) -> None:
    tracer = status_fields(require_text(pid, "status")).get("TracerPid", "0")
    if tracer != "0":
        raise already_traced(pid, tracer)


@contextmanager
def _without_collector() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _cancellable() -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into `Cancelled`, raised where everything can be cleaned up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def cancel(_number: int, _frame: FrameType | None) -> None:
        raise Cancelled("the capture was cancelled; the process goes on")

    # A handler that the program installed for SIGTERM raises something of its own; that cleans up as well.
    numbers = [n for n in CANCELLING if n == signal.SIGINT or signal.getsignal(n) == signal.SIG_DFL]
    before = {number: signal.signal(number, cancel) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
