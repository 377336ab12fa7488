"""Threads that cannot be stopped, and memory that cannot be forked."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from heldby.capture import capture_process
from heldby.capture.amd64 import Amd64
from heldby.capture.procfs import status_fields
from heldby.errors import CaptureError, NotCaptured
from tests.support.process import Running, running

pytestmark = [
    pytest.mark.ptrace,
    pytest.mark.skipif(
        shutil.which("gcc") is None, reason="needs a C compiler: Go's own forks are too quick"
    ),
]
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def asleep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("asleep") / "asleep"
    subprocess.run(["gcc", "-pthread", "-o", str(program), str(HERE / "asleep.c")], check=True)
    return program


@pytest.mark.parametrize("method", ["fork", "stop"])
def test_a_thread_in_vfork_is_recorded_and_runs_on_when_it_wakes(asleep: Path, method: str) -> None:
    with running(asleep, ["0.4"]) as process:
        capture = capture_process(process.pid, None, method=method, any_program=True)  # type: ignore[arg-type]
        assert process.line(timeout=10) == {"awake": True}
        states = thread_states(process)

    assert len(capture.core.note["sleeping_threads"]) == 1  # type: ignore[index]
    sleeper = capture.core.threads[1].registers
    assert sleeper["orig_rax"] in (56, 58)
    assert sleeper["rsp"] in capture.core.image
    assert states == ["S", "S"]


def thread_states(process: Running) -> list[str]:
    time.sleep(0.05)
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    fields = [status_fields((task / "status").read_text()) for task in tasks]
    assert {item["TracerPid"] for item in fields} == {"0"}
    return [item["State"][0] for item in fields]


def test_a_woken_thread_does_not_wait_for_the_end_of_the_capture(asleep: Path) -> None:
    with running(asleep, ["0.1"]) as process:
        capture_process(process.pid, None, method="fork", any_program=True)
        assert process.line(timeout=1) == {"awake": True}


def test_memory_that_a_fork_does_not_inherit_is_missing_not_zero(asleep: Path) -> None:
    with running(asleep, ["0.2"]) as process:
        forked = capture_process(process.pid, None, method="fork", any_program=True).core.image
        stopped = capture_process(process.pid, None, method="stop", any_program=True).core.image
        wiped, kept, plain = (process.ready[name] for name in ("wiped", "kept", "plain"))

    assert forked.u8(plain) == 7
    for addr in (wiped, kept):
        with pytest.raises(NotCaptured):
            forked.u8(addr)
    assert stopped.u8(kept) == stopped.u8(plain) == 7


def test_a_fork_that_fails_lets_a_woken_thread_go(asleep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Amd64, "suitability", lambda *_arguments: None)
    with running(asleep, ["0.3"]) as process:
        with pytest.raises(CaptureError, match="no thread of the process can carry the fork"):
            capture_process(process.pid, None, method="fork", any_program=True)
        assert process.line(timeout=1) == {"awake": True}
        assert thread_states(process) == ["S", "S"]
