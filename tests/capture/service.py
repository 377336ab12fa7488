"""The busy service and the processes that capture it and are killed: what the tests of the capture share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.process import Running, end

HERE = Path(__file__).parent
#: Longer than the service waits before it calls a signal or an answer lost.
PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Service:
    """A running busy service (busy/main.go); its ELF headers lie at address `start`."""

    running: Running
    start: int

    @classmethod
    def of(cls, running: Running) -> Service:
        """Look up where the program begins in memory."""
        lines = _text(f"/proc/{running.pid}/maps").splitlines()
        first = next(line for line in lines if line.endswith(str(running.program)))
        return cls(running, int(first.split("-")[0], 16))

    @property
    def pid(self) -> int:
        return self.running.pid

    def report(self, *, quiet: bool = False) -> Mapping[str, Any]:
        """Ask for a report; `quiet` also lets it start no more children."""
        self.running.send("quiet" if quiet else "report")
        return self.running.line()

    def require_sound(self) -> None:
        """Assert that nothing of a capture is left, and that the service saw nothing wrong."""
        wait_until(lambda: not self.traces_of_captures(), self.traces_of_captures)
        report = self.report()
        assert report["errors"] == []
        assert report["ballast"] == self.running.ready["ballast"]

    def require_intact(self) -> None:
        """Assert that it is sound, goes on in every part, and has no threads and children but its own."""
        self.require_sound()
        before = self.report()["rounds"]
        stuck = lambda: [name for name, rounds in self.report()["rounds"].items() if rounds <= before[name]]  # noqa: E731
        wait_until(lambda: not stuck(), stuck)
        wait_until(lambda: self._strangers() == (False, []), self._strangers)
        report = self.report()
        assert report["errors"] == []  # a lost signal or answer is noticed late
        assert report["sigchld"] <= report["started"]

    def _strangers(self) -> tuple[bool, list[str]]:
        """Return whether there are threads that Go does not know, and all children, dead or alive."""
        report = self.report(quiet=True)
        return report["threads"] > report["machines"], report["children"]

    def traces_of_captures(self) -> list[str]:
        """Return what must not be: tracers, stopped threads, threads in the stub, copies."""
        found = []
        for task in os.listdir(f"/proc/{self.pid}/task"):  # noqa: PTH208
            fields = _fields(f"/proc/{self.pid}/task/{task}/status")
            if fields.get("TracerPid", "0") != "0":
                found.append(f"thread {task} is traced by {fields['TracerPid']}")
            if fields.get("State", "S")[0] in "tT":
                found.append(f"thread {task} is in state {fields['State']}")
            if self._in_header_page(task):
                found.append(f"thread {task} is in the stub")
        return found + [f"process {pid} is a copy" for pid in copies_of(self.pid, self.running.program)]

    def _in_header_page(self, task: str) -> bool:
        """Tell whether a waiting thread is in the page of the ELF headers, where no code is."""
        words = _text(f"/proc/{self.pid}/task/{task}/syscall").split()
        return len(words) >= 3 and self.start <= int(words[-1], 16) < self.start + 4096


def copies_of(pid: int, program: Path) -> list[int]:
    """Return the children of `pid`, alive or dead, that run its program or have its name."""
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208
        stat = _text(f"/proc/{name}/stat") if name.isdigit() else ""
        if f"({program.name})" in stat and stat.rpartition(")")[2].split()[1] == str(pid):
            found.append(int(name))
    return found


def wait_until(holds: Any, explain: Any) -> None:
    """Wait for `holds()`; fail with `explain()` when it does not come."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"still so after {PATIENCE:.0f} s: {explain()}")
        time.sleep(0.002)


class CrashServer:
    """Starts captures in processes of their own and kills them (crash_server.py)."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def capture(self, service: Service, method: str = "fork", **order: Any) -> dict[str, Any]:
        """Capture `service`; see crash_server.py for `order`. Return how it ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = json.dumps({"pid": service.pid, "method": method, **order}) + "\n"
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert isinstance(answer, dict)
        return answer


@contextmanager
def crash_server() -> Iterator[CrashServer]:
    """Run a crash server until the block ends."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "crash_server.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        yield CrashServer(process)
    finally:
        end(process)


def _text(path: str) -> str:
    try:
        with open(path) as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return ""


def _fields(path: str) -> dict[str, str]:
    lines = _text(path).splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
