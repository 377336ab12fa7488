"""Processes that a fork could harm, or that forbid it, are read while they stand."""

from __future__ import annotations

import contextlib
import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from heldby.capture import capture_process, headroom
from heldby.capture.amd64 import Amd64
from heldby.capture.headroom import Headroom
from heldby.capture.seccomp import refused_calls, run_filter
from heldby.errors import CaptureError
from tests.capture.service import Service
from tests.support.process import running

CLONE = 56
COPY_FLAGS = 0x600
KILL, ALLOW, ERRNO, LOG = 0x80000000, 0x7FFF0000, 0x00050001, 0x7FFC0000
LOAD_NUMBER = (0x20, 0, 0, 0)
LOAD_FIRST_ARGUMENT = (0x20, 0, 0, 16)


def program(*instructions: tuple[int, int, int, int]) -> bytes:
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in instructions)


def answer(value: int) -> tuple[int, int, int, int]:
    return (0x06, 0, 0, value)


FORBIDS_THE_COPY = program(
    LOAD_NUMBER,
    (0x15, 0, 3, CLONE),
    LOAD_FIRST_ARGUMENT,
    (0x15, 0, 1, COPY_FLAGS),
    answer(KILL),
    answer(ALLOW),
)
FORBIDS_PTRACE = program(LOAD_NUMBER, (0x15, 0, 1, 101), answer(ERRNO), answer(ALLOW))


def data(number: int, *arguments: int) -> bytes:
    return struct.pack("<IIQ6Q", number, 0xC000003E, 0x401000, *arguments, *[0] * (6 - len(arguments)))


def test_a_filter_answers_as_the_kernel_would() -> None:
    assert run_filter(FORBIDS_THE_COPY, data(CLONE, COPY_FLAGS)) == KILL
    assert run_filter(FORBIDS_THE_COPY, data(CLONE, 0x50F00)) == ALLOW
    assert run_filter(FORBIDS_THE_COPY, data(61, COPY_FLAGS)) == ALLOW


@pytest.mark.parametrize(
    ("instructions", "result"),
    [
        ([(0x00, 0, 0, 7), (0x04, 0, 0, 5), (0x16, 0, 0, 0)], 12),  # ld 7; add 5; ret a
        ([(0x00, 0, 0, 7), (0x14, 0, 0, 8), (0x16, 0, 0, 0)], 0xFFFFFFFF),  # sub wraps
        (
            [(0x00, 0, 0, 6), (0x02, 0, 0, 3), (0x00, 0, 0, 1), (0x60, 0, 0, 3), (0x16, 0, 0, 0)],
            6,
        ),  # st; ld M
        ([(0x00, 0, 0, 9), (0x07, 0, 0, 0), (0x00, 0, 0, 2), (0x2C, 0, 0, 0), (0x16, 0, 0, 0)], 18),  # mul x
        ([(0x00, 0, 0, 9), (0x34, 0, 0, 0), (0x16, 0, 0, 0)], 0),  # division by zero: no sense
        ([(0x80, 0, 0, 0), (0x16, 0, 0, 0)], 64),  # ld len
        ([(0x20, 0, 0, 64), (0x16, 0, 0, 0)], 0),  # beyond the data
        ([(0x00, 0, 0, 5), (0x25, 1, 0, 4), (0x06, 0, 0, 1), (0x06, 0, 0, 2)], 2),  # jgt
        ([(0x00, 0, 0, 5), (0x45, 0, 1, 4), (0x06, 0, 0, 1), (0x06, 0, 0, 2)], 1),  # jset
        ([(0x05, 0, 0, 1), (0x06, 0, 0, 1), (0x06, 0, 0, 2)], 2),  # ja
        ([(0x00, 0, 0, 5)], 0),  # falls off the end
    ],
)
def test_each_instruction_does_what_it_says(
    instructions: list[tuple[int, int, int, int]], result: int
) -> None:
    assert run_filter(program(*instructions), data(0)) == result


def test_only_the_calls_that_a_filter_refuses_are_named() -> None:
    assert refused_calls(Amd64().calls, (FORBIDS_PTRACE,), 0) == ()
    assert refused_calls(Amd64().calls, (FORBIDS_PTRACE, FORBIDS_THE_COPY), 0) == (CLONE,)
    assert refused_calls(Amd64().calls, (program(answer(LOG)),), 0) == ()
    assert 61 in refused_calls(Amd64().calls, (program(answer(ERRNO)),), 0)


@contextlib.contextmanager
def filtered_service(busy_program: Path, bpf: bytes) -> Iterator[Service]:
    """Run the busy service behind a seccomp filter."""
    code = f"""
import ctypes, os
libc = ctypes.CDLL(None)
filter = {bpf!r}
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(len(filter) // 8, filter)), 0, 0) == 0
os.execv({str(busy_program)!r}, ["busy", "4"])
"""
    with running(Path(sys.executable), ["-c", code]) as process:
        yield Service.of(replace(process, program=busy_program))


@pytest.mark.ptrace
@pytest.mark.skipif(os.geteuid() != 0, reason="reading a seccomp filter needs CAP_SYS_ADMIN")
def test_a_process_whose_filter_kills_on_a_fork_is_stopped_instead(busy_program: Path) -> None:
    with filtered_service(busy_program, FORBIDS_THE_COPY) as service:
        capture = capture_process(service.pid, None)
        with pytest.raises(CaptureError, match="a seccomp filter of the process forbids the fork"):
            capture_process(service.pid, None, method="fork")
        service.require_intact()

    assert capture.method == "stop"
    assert capture.fallback == "a seccomp filter of the process forbids the fork"


@pytest.mark.ptrace
@pytest.mark.skipif(os.geteuid() != 0, reason="reading a seccomp filter needs CAP_SYS_ADMIN")
def test_a_process_whose_filter_allows_a_fork_is_forked(busy_program: Path) -> None:
    with filtered_service(busy_program, FORBIDS_PTRACE) as service:
        capture = capture_process(service.pid, None)
        service.require_intact()

    assert (capture.method, capture.fallback) == ("fork", None)


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cgroup file system of version 2."""
    monkeypatch.setattr(headroom, "_ROOT", tmp_path)
    monkeypatch.setattr(headroom, "read_text", lambda _pid, _name: "0::/slice/service\n")
    monkeypatch.setattr(headroom, "available_memory", lambda: 64 << 30)
    (tmp_path / "slice" / "service").mkdir(parents=True)
    return tmp_path


def limit(group: Path, limit: str, usage: int, inactive_file: int) -> None:
    (group / "memory.max").write_text(limit + "\n")
    (group / "memory.current").write_text(f"{usage}\n")
    (group / "memory.stat").write_text(f"anon 1\ninactive_file {inactive_file}\n")


STATUS = "RssAnon:\t  819200 kB\nVmPTE:\t    2048 kB\n"  # 800 MiB: a fork wants 102 MiB


def test_the_tightest_limit_on_the_way_up_counts(cgroups: Path) -> None:
    limit(cgroups / "slice" / "service", "max", 900 << 20, 0)
    limit(cgroups / "slice", str(1000 << 20), 950 << 20, 20 << 20)

    room = Headroom(1)

    assert room.available() == 70 << 20
    assert room.why_too_little(STATUS, 0) == "70.0 MiB of memory are left to it; a fork wants 102 MiB"
    assert not room.is_short()


def test_a_copy_is_given_up_before_the_limit_is_met(cgroups: Path) -> None:
    limit(cgroups / "slice" / "service", str(1000 << 20), 990 << 20, 0)

    assert Headroom(1).is_short()


def test_page_cache_counts_as_free_and_no_limit_as_the_machine_s(cgroups: Path) -> None:
    room = Headroom(1)
    assert room.available() == 64 << 30

    limit(cgroups / "slice" / "service", str(1000 << 20), 1000 << 20, 500 << 20)
    assert Headroom(1).available() == 500 << 20
    assert Headroom(1).why_too_little(STATUS, 0) is None


def test_a_capture_in_memory_must_fit_the_machine(cgroups: Path) -> None:
    assert Headroom(1).why_too_little(STATUS, 80 << 30) == "the machine has 64.0 GiB of memory left"


@pytest.mark.ptrace
@pytest.mark.skipif(
    not os.access("/sys/fs/cgroup/memory/tasks", os.W_OK), reason="needs the memory controller of cgroup 1"
)
def test_a_service_close_to_its_limit_is_stopped_instead_of_forked(service: Service) -> None:
    group = Path(f"/sys/fs/cgroup/memory/heldby-test-{os.getpid()}")
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(48 << 20))
        (group / "cgroup.procs").write_text(str(service.pid))
        capture = capture_process(service.pid, None)
        service.require_intact()
        assert capture.method == "stop"
        assert "are left to it; a fork wants" in (capture.fallback or "")
        limits = capture.core.note["proc"]["cgroup_files"]  # type: ignore[index]
        assert limits["memory.limit_in_bytes"] == f"{48 << 20}\n"
    finally:
        service.running.process.kill()
        service.running.process.wait()
        group.rmdir()
