"""Starts the programs that tests look into, and always ends them.

A scenario program says one JSON line when it is ready and then waits for its standard input to end. So it
ends with the test run even if that is killed: the pipe closes.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

PR_SET_PDEATHSIG = 1
PR_SET_PTRACER = 0x59616D61
PR_SET_PTRACER_ANY = ctypes.c_ulong(-1)


class ProgramFailed(RuntimeError):
    """A program ended, or kept silent, before it was ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A program that waits.

    Attributes:
        pid: its process.
        program: its executable.
        ready: the JSON object that it printed when it was ready.
    """

    pid: int
    program: Path
    ready: Mapping[str, Any]
    process: subprocess.Popen[bytes]

    def line(self, *, timeout: float = 60) -> Mapping[str, Any]:
        """Wait for the next JSON line of the program."""
        assert self.process.stdout is not None
        return _read_json_line(self.process, timeout)

    def send(self, line: str) -> None:
        """Write a line to the program's standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()


@contextlib.contextmanager
def running(
    program: Path,
    arguments: Sequence[str] = (),
    *,
    environment: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> Iterator[Running]:
    """Run ``program`` until its ready line has come; kill and reap it when the block ends.

    Args:
        environment: added to ours. GOGC, GOMEMLIMIT and GODEBUG of the caller are left out.
        timeout: seconds until the ready line must have come.

    Raises:
        ProgramFailed: if it ends or stays silent; the message holds what it wrote to standard error.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in _GO_VARIABLES}
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            [str(program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            bufsize=0,
            env={**inherited, **(environment or {})},
            preexec_fn=allow_tracing,  # noqa: PLW1509 (it makes one system call)
        )
        try:
            try:
                ready = _read_json_line(process, timeout)
            except ProgramFailed as error:
                raise ProgramFailed(f"{program}: {error}\n{_tail(complaints)}") from None
            yield Running(pid=process.pid, program=program, ready=ready, process=process)
        finally:
            end(process)


def allow_tracing() -> None:
    """Let any process of this user trace the caller, where Yama (ptrace_scope 1) would forbid it.

    For ``preexec_fn``: the permission stays with the process over exec.
    """
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0)


def end_with_us() -> None:
    """Like `allow_tracing`, and let the kernel kill the caller when the thread that started it ends.

    For servers, which do not read a pipe that would tell them.
    """
    allow_tracing()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process of ours if it still runs, reap it and close its pipes."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


_GO_VARIABLES = frozenset({"GOGC", "GOMEMLIMIT", "GODEBUG", "GOMAXPROCS", "GOTRACEBACK"})


def _read_json_line(process: subprocess.Popen[bytes], timeout: float) -> Mapping[str, Any]:
    """Read up to a newline from an unbuffered pipe, never waiting longer than ``timeout`` seconds."""
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    deadline = time.monotonic() + timeout
    line = bytearray()
    while not line.endswith(b"\n"):
        remaining = deadline - time.monotonic()
        if remaining <= 0 or not select.select([descriptor], [], [], remaining)[0]:
            raise ProgramFailed(f"no line within {timeout:g} s; so far {bytes(line)!r}")
        # One byte at a time: a second line must stay in the pipe for the next call. Lines are few and short.
        piece = os.read(descriptor, 1)
        if not piece:
            raise ProgramFailed(f"ended (exit code {process.wait(timeout=30)}) after {bytes(line)!r}")
        line += piece
    try:
        answer = json.loads(line)
    except ValueError:
        raise ProgramFailed(f"wrote a line that is no JSON: {bytes(line)!r}") from None
    if not isinstance(answer, dict):
        raise ProgramFailed(f"wrote {answer!r}, not an object")
    return answer


def _tail(complaints: BinaryIO) -> str:
    complaints.seek(0)
    return complaints.read().decode(errors="replace")[-4000:]


def wait_until_still(pid: int, *, timeout: float = 30) -> None:
    """Wait until no thread of a process runs and none has run for a while: its goroutines are parked.

    A program says that it is ready before it waits; on a loaded machine a look in between finds it at work.
    """
    deadline = time.monotonic() + timeout
    before: list[tuple[str, str, str]] = []
    while time.monotonic() < deadline:
        now = [
            (fields[0], fields[11], fields[12])
            for task in sorted(Path(f"/proc/{pid}/task").iterdir())
            if (fields := (task / "stat").read_text().rpartition(")")[2].split())
        ]
        if now == before and all(state != "R" for state, _, _ in now):
            return
        before = now
        time.sleep(0.03)
    raise ProgramFailed(f"process {pid} does not come to rest")
