"""What a capture holds, how it is written, and how it fails."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from heldby.capture import Capture, capture_process, ptrace
from heldby.capture.pages import PageCopier
from heldby.capture.procfs import status_bytes, status_fields
from heldby.errors import (
    AlreadyTraced,
    CaptureError,
    NoSpace,
    NotCaptured,
    NotGoProcess,
    PermissionDenied,
    TargetGone,
    UsageError,
)
from heldby.memory.core_file import open_core
from heldby.memory.mappings import parse_maps, parse_smaps
from heldby.memory.residency import Residency, unpack_states
from tests.capture.service import CrashServer, Service
from tests.support.process import running

pytestmark = pytest.mark.ptrace
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
METHODS = ["fork", "stop"]


@pytest.mark.parametrize("method", METHODS)
def test_a_capture_in_memory_holds_the_known_content(service: Service, method: str) -> None:
    capture = capture_process(service.pid, None, method=method)  # type: ignore[arg-type]

    assert capture.method == method
    assert ballast_pages(capture) == 1024  # 4 MiB of bytes whose pages follow from their place
    service.require_intact()


def ballast_pages(capture: Capture) -> int:
    """Count the pages that hold what busy/main.go wrote: byte i is (i >> 3) | 1."""
    page = bytes((i >> 3 & 255) | 1 for i in range(4096))
    image = capture.core.image
    return sum(
        image.buffers[s.buffer][s.offset : s.offset + s.end - s.start].tobytes().count(page)
        for s in image.segments
        if s.buffer == 0 and s.end - s.start >= 4096
    )


def test_a_capture_records_every_thread_and_what_proc_said(service: Service, tmp_path: Path) -> None:
    capture = capture_process(service.pid, tmp_path / "busy.core")

    note = capture.core.note
    assert note is not None
    threads = [thread.tid for thread in capture.core.threads]
    assert threads[0] == service.pid
    assert len(threads) == int(status_fields(note["proc"]["status"])["Threads"])
    assert all(thread.registers["rip"] in capture.core.image for thread in capture.core.threads)
    assert note["method"] == capture.method == "fork"
    assert note["pause_ns"] == capture.pause_ns > 0
    assert "Rss:" in note["proc"]["smaps"]
    assert "Max open files" in note["proc"]["limits"]
    assert "cmdline" not in note["proc"]
    assert capture.core.auxv[9] in capture.core.image  # AT_ENTRY


@pytest.mark.parametrize("method", METHODS)
def test_the_recorded_mappings_add_up_to_the_resident_size_at_the_pause(
    service: Service, method: str
) -> None:
    capture = capture_process(service.pid, None, method=method)  # type: ignore[arg-type]

    proc = capture.core.note["proc"]  # type: ignore[index]
    by_mapping = sum(int(kilobytes) for kilobytes in re.findall(r"^Rss: +(\d+) kB", proc["smaps"], re.M))
    resident = status_bytes(status_fields(proc["status"]), "VmRSS")
    assert resident is not None
    # The kernel counts VmRSS per processor and adds up in steps.
    assert abs(by_mapping * 1024 - resident) < 1 << 20


@pytest.mark.parametrize("method", METHODS)
def test_the_pages_recorded_as_resident_are_those_that_the_kernel_counts(
    service: Service, method: str
) -> None:
    capture = capture_process(service.pid, None, method=method)  # type: ignore[arg-type]

    note = capture.core.note
    assert note is not None
    pages = Residency.of([(s.start, s.resident) for s in unpack_states(note["residency"])])
    anonymous = [m for m in parse_smaps(note["proc"]["smaps"]) if m.mapping.is_anonymous]
    readable = [m for m in anonymous if "r" in m.mapping.perms and not m.mapping.path.startswith("[v")]
    assert sum(m.resident for m in readable) > 4 << 20
    for memory in readable:
        assert pages.between(memory.mapping.start, memory.mapping.end) == memory.resident


def test_a_capture_carries_its_program(service: Service, busy_program: Path, tmp_path: Path) -> None:
    capture = capture_process(service.pid, tmp_path / "busy.core")

    assert capture.core.executable is not None
    assert capture.core.executable.tobytes() == busy_program.read_bytes()
    code = next(m for m in parse_maps(capture.core.note["proc"]["maps"]) if m.perms == "r-xp")  # type: ignore[index]
    assert capture.core.image.read(code.start, 4096) == busy_program.read_bytes()[:4096]


def test_a_capture_is_readable_by_its_owner_only(service: Service, tmp_path: Path) -> None:
    capture_process(service.pid, tmp_path / "busy.core")

    assert stat.S_IMODE((tmp_path / "busy.core").stat().st_mode) == 0o600
    assert files_in(tmp_path) == ["busy.core"]


def test_a_capture_is_about_as_large_as_what_is_resident(service: Service, tmp_path: Path) -> None:
    capture = capture_process(service.pid, tmp_path / "busy.core")

    fields = status_fields(capture.core.note["proc"]["status"])  # type: ignore[index]
    resident = status_bytes(fields, "RssAnon")
    assert resident is not None
    assert 0.5 * resident < capture.captured_bytes <= 1.05 * resident + (1 << 20)
    on_disk = (tmp_path / "busy.core").stat().st_blocks * 512
    assert on_disk < capture.captured_bytes + capture.core.executable.size + (1 << 20)  # type: ignore[union-attr]


def test_the_program_s_bytes_are_put_back(service: Service) -> None:
    capture = capture_process(service.pid, None, method="fork")

    with Path(f"/proc/{service.pid}/mem").open("rb") as memory:
        memory.seek(service.start)
        page = memory.read(4096)
    assert capture.core.note["code_restored"] is True  # type: ignore[index]
    assert page == service.running.program.read_bytes()[:4096]


def test_memory_that_was_never_touched_is_zero_and_reserved_memory_is_missing(service: Service) -> None:
    capture = capture_process(service.pid, None)

    maps = parse_maps(capture.core.note["proc"]["maps"])  # type: ignore[index]
    reserved = next(m for m in maps if m.perms == "---p")
    anonymous = [m for m in maps if m.is_anonymous and m.perms == "rw-p"]
    with pytest.raises(NotCaptured):
        capture.core.image.u8(reserved.start)
    for mapping in anonymous:
        assert len(capture.core.image.read(mapping.end - 4096, 4096)) == 4096


@pytest.mark.parametrize("method", METHODS)
def test_a_stopped_service_is_captured_and_stays_stopped(service: Service, method: str) -> None:
    os.kill(service.pid, signal.SIGSTOP)
    wait_for_state(service.pid, "T")
    try:
        if method == "fork":
            with pytest.raises(CaptureError, match="no thread of the process can carry the fork"):
                capture_process(service.pid, None, method="fork")
        else:
            capture = capture_process(service.pid, None)
            assert capture.method == "stop"
            assert capture.fallback == "the process is stopped by a signal"
        wait_for_state(service.pid, "T")
    finally:
        os.kill(service.pid, signal.SIGCONT)
    service.require_intact()


def files_in(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def wait_for_state(pid: int, wanted: str) -> None:
    deadline = time.monotonic() + 10
    while state(pid) != wanted:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_an_existing_file_is_kept_unless_forced(service: Service, tmp_path: Path) -> None:
    core = tmp_path / "busy.core"
    core.write_text("mine")

    with pytest.raises(UsageError, match="exists"):
        capture_process(service.pid, core)
    assert core.read_text() == "mine"

    capture_process(service.pid, core, force=True)
    assert open_core(core).note is not None
    assert files_in(tmp_path) == ["busy.core"]


def test_a_destination_in_no_directory_is_refused(service: Service, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="cannot be written"):
        capture_process(service.pid, tmp_path / "missing" / "busy.core")


def test_a_file_system_without_unnamed_files_gets_a_hidden_name_until_the_file_is_whole(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "O_TMPFILE", 0)

    capture_process(service.pid, tmp_path / "busy.core")
    assert files_in(tmp_path) == ["busy.core"]
    assert stat.S_IMODE((tmp_path / "busy.core").stat().st_mode) == 0o600

    with pytest.raises(NotGoProcess):
        capture_process(os.getpid(), tmp_path / "other.core")
    monkeypatch.setattr(PageCopier, "copy", lambda *_arguments: os.pread(-1, 1, 0))  # EBADF
    with pytest.raises(CaptureError, match="could not be captured"):
        capture_process(service.pid, tmp_path / "other.core")
    assert files_in(tmp_path) == ["busy.core"]
    service.require_intact()


def test_a_process_that_is_not_there_is_target_gone() -> None:
    with pytest.raises(TargetGone, match="there is no process 4194303"):
        capture_process(4194303, None)


def test_a_program_that_is_not_go_is_refused() -> None:
    with pytest.raises(NotGoProcess, match="no Go program"):
        capture_process(os.getpid(), None)


def test_a_kernel_thread_is_refused() -> None:
    with pytest.raises((NotGoProcess, PermissionDenied)):
        capture_process(2, None)


def test_a_thread_id_names_its_process(service: Service) -> None:
    thread = sorted(int(task) for task in files_in(Path(f"/proc/{service.pid}/task")))[1]

    capture = capture_process(thread, None)

    assert capture.core.threads[0].tid == service.pid


def test_a_traced_process_is_left_to_its_tracer(service: Service) -> None:
    with traced_by_another(service.pid) as tracer:
        with pytest.raises(AlreadyTraced, match=f"traced by process {tracer}"):
            capture_process(service.pid, None)
        assert status_fields(Path(f"/proc/{service.pid}/status").read_text())["TracerPid"] == str(tracer)
    service.require_intact()


@contextlib.contextmanager
def traced_by_another(pid: int) -> Iterator[int]:
    """Let another process seize `pid`, without stopping it."""
    code = f"from heldby.capture import ptrace; ptrace.seize({pid}); print('ready', flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
    finally:
        process.communicate(b"\n")


@as_root
def test_another_user_may_not_capture_and_is_told_why(service: Service, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        try:
            capture_process(service.pid, None)
        except PermissionDenied as error:
            os.write(writing, f"{error.message}\n{error.next_step}".encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    said = os.read(reading, 4096).decode()
    os.close(reading)

    assert "may not be read" in said
    assert f"heldby doctor {service.pid}" in said


@as_root
def test_a_disk_without_room_is_seen_before_the_process_is_stopped(service: Service, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m"), pytest.raises(NoSpace, match="the capture needs about"):
        capture_process(service.pid, tmp_path / "disk" / "busy.core")
    service.require_intact()


@contextlib.contextmanager
def small_disk(path: Path, size: str) -> Iterator[None]:
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], check=True)
    try:
        yield
        assert files_in(path) == []
    finally:
        subprocess.run(["umount", str(path)], check=True)


@pytest.mark.parametrize("method", METHODS)
def test_a_disk_that_fills_up_leaves_nothing_behind(service: Service, tmp_path: Path, method: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, hard))
    try:
        with pytest.raises(NoSpace, match="could not be written"):
            capture_process(service.pid, tmp_path / "busy.core", method=method)  # type: ignore[arg-type]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_in(tmp_path) == []
    service.require_intact()


@pytest.mark.parametrize("delay", [0.002, 0.006, 0.01, 0.014, 0.02])
@pytest.mark.parametrize("method", METHODS)
def test_a_target_that_dies_meanwhile_is_target_gone_or_already_captured(
    service: Service, tmp_path: Path, method: str, delay: float
) -> None:
    killer = threading.Timer(delay, os.kill, (service.pid, signal.SIGKILL))
    killer.start()
    outcomes: list[str] = []
    while "gone" not in outcomes and len(outcomes) < 200:
        try:
            outcomes.append(
                capture_process(service.pid, tmp_path / "busy.core", method=method, force=True).method
            )  # type: ignore[arg-type]
        except TargetGone:
            outcomes.append("gone")
    killer.join()

    assert outcomes[-1] == "gone"
    # Nothing of ours keeps the dead process, and its exit code is still its parent's.
    assert service.running.process.wait(timeout=5) == -signal.SIGKILL


def kill_target_at_request(pid: int, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill process `pid` just before the capture's ptrace request of that number."""
    request = ptrace._ptrace
    made = 0

    def counted(*arguments: int) -> int:
        nonlocal made
        if made == number:
            os.kill(pid, signal.SIGKILL)
        made += 1
        return request(*arguments)

    monkeypatch.setattr(ptrace, "_ptrace", counted)


@pytest.mark.parametrize(
    "calls",
    [pytest.param(range(0, 100, 7)), pytest.param(range(100), marks=pytest.mark.slow)],
    ids=["some", "all"],
)
def test_a_target_killed_at_any_ptrace_request_is_gone_and_leaves_no_copy(
    busy_program: Path, calls: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    for call in calls:
        with running(busy_program, ["0"]) as process, monkeypatch.context() as patch:
            kill_target_at_request(process.pid, call, patch)
            with contextlib.suppress(TargetGone):  # killed late, it was captured before
                capture_process(process.pid, None, method="fork")
            os.kill(process.pid, signal.SIGKILL)
            assert process.process.wait(timeout=5) == -signal.SIGKILL
        assert traced_by_us() == []


def traced_by_us() -> list[int]:
    us = str(threading.get_native_id())
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and status_fields((entry / "status").read_text())["TracerPid"] == us:
                found.append(int(entry.name))
    return found


def test_a_capture_from_another_thread_works(service: Service) -> None:
    captures: list[Capture] = []
    thread = threading.Thread(target=lambda: captures.append(capture_process(service.pid, None)))
    thread.start()
    thread.join()

    assert captures[0].method == "fork"
    service.require_intact()


def test_a_core_in_memory_goes_when_it_is_not_used_any_more(service: Service) -> None:
    gc.collect()
    before = captures_in_memory()

    core = capture_process(service.pid, None).core
    entry = core.image.read(core.auxv[9], 4)
    during = captures_in_memory()
    del core
    gc.collect()

    assert len(entry) == 4
    assert during == before + 1
    assert captures_in_memory() == before


def captures_in_memory() -> int:
    """Count the unnamed files in memory that this process holds open."""
    links = [str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return sum("memfd:" in link for link in links)


@as_root
def test_a_service_in_a_container_is_recorded_with_its_own_thread_ids(busy_program: Path) -> None:
    with in_pid_namespace(busy_program) as service:
        capture = capture_process(service.pid, None)
        service.require_intact()

    assert capture.method == "fork"
    assert capture.core.threads[0].tid == 1
    assert max(thread.tid for thread in capture.core.threads) < 1000
    assert capture.core.note["pid"] == service.pid  # type: ignore[index]


@as_root
def test_process_1_of_a_container_gets_no_zombie_from_killed_captures(
    busy_program: Path, crashes: CrashServer
) -> None:
    with in_pid_namespace(busy_program) as service:
        for call in range(20, 90, 3):
            crashes.capture(service, "fork", call=call)
            service.require_sound()
        service.require_intact()


@contextlib.contextmanager
def in_pid_namespace(program: Path) -> Iterator[Service]:
    """Run the busy service as process 1 of a PID namespace of its own, with its own /proc."""
    with running(
        Path("/usr/bin/unshare"), ["--pid", "--fork", "--mount-proc", "--kill-child", str(program), "4"]
    ) as outer:
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        yield Service.of(replace(outer, pid=int(children[0]), program=program))
