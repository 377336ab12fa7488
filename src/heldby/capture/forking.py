"""Running the stub: from stopped threads to a stopped copy-on-write child."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from heldby.capture import ptrace
from heldby.capture.code_room import Room
from heldby.capture.injection import CODE_SIZE
from heldby.capture.procfs import PROC, read_text, status_fields, thread_ids, thread_state
from heldby.capture.ptrace import EVENT_CLONE, Registers, Stop
from heldby.capture.seccomp import refused_calls
from heldby.capture.threads import StoppedThreads
from heldby.errors import CaptureError, TargetGone

_STUB_PATIENCE = 0.5
_FORK_PATIENCE = 60.0
_END_PATIENCE = 5.0


class ForkFailed(CaptureError):
    """The process could not be copied; it goes on, and can still be read while it stands."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy-on-write child of the target, stopped before its first instruction and traced by us.

    Attributes:
        pid: its process id.
        helper: the thread of the target that waits for its end.
        carrier: the thread that ran the stub.
        room: where the stub lies.
    """

    pid: int
    helper: int
    carrier: int
    room: Room


def fork_process(threads: StoppedThreads, rooms: list[Room]) -> Copy:
    """Make the stopped process copy itself. The threads stay stopped.

    Raises:
        ForkFailed: no thread or no place can carry the stub, or the kernel refused a clone.
    """
    room = _free_room(threads, rooms)
    for carrier in _carriers(threads, room):
        _require_permission(threads, carrier, room)
        helper = _run_stub(threads, carrier, room)
        if helper is not None:
            threads.adopt(helper)
            pid = _await_copy(threads, helper)
            return Copy(pid, helper, carrier, room)
    raise ForkFailed(
        "no thread of the process can carry the fork",
        cause="all are stopped by a signal, or signals keep coming",
        next_step="use --method stop",
    )


def _free_room(threads: StoppedThreads, rooms: list[Room]) -> Room:
    """Return a place where no thread is: a helper of another capture may still be in its stub."""
    addrs = [registers.pc for registers in threads.registers.values()]
    for room in rooms:
        if not any(room.addr <= addr < room.addr + CODE_SIZE for addr in addrs):
            return room
    raise ForkFailed(
        "the program has no room for the code that copies it",
        cause="its linker left no unused bytes on executable pages, or another capture uses them",
        next_step="use --method stop",
    )


def _carriers(threads: StoppedThreads, room: Room) -> list[int]:
    ranked = [
        (rank, tid)
        for tid, registers in threads.registers.items()
        if (rank := threads.processor.suitability(tid, registers, room.addr)) is not None
        and not threads.stops[tid].signal
        and not threads.stops[tid].group
    ]
    return [tid for _, tid in sorted(ranked)][:3]


def _require_permission(threads: StoppedThreads, carrier: int, room: Room) -> None:
    """Raise `ForkFailed` when a seccomp filter of the thread would answer the stub with anything but a yes.

    A filter that we may not read (that takes CAP_SYS_ADMIN) was judged before: see `why_not_fork`.
    """
    try:
        filters = ptrace.read_seccomp_filters(carrier)
    except OSError:
        return
    if refused_calls(threads.processor.calls, tuple(filters), room.addr):
        raise ForkFailed(
            "a seccomp filter of the process forbids the fork",
            cause="it allows only the system calls that the service needs",
            next_step="use --method stop",
        )


def _run_stub(threads: StoppedThreads, carrier: int, room: Room) -> int | None:
    """Run the stub up to its clone; return the helper's id, or None when a signal came first."""
    original = threads.registers[carrier]
    code, start = threads.processor.build_stub(room.addr, original, ptrace.read_signal_mask(carrier))
    ptrace.write_code(carrier, room.addr, code)
    ptrace.follow_clones(carrier)
    ptrace.write_registers(carrier, threads.processor.detour(original, start))
    del threads.stops[carrier]
    ptrace.resume(carrier)
    stop = ptrace.wait_stop(carrier, _STUB_PATIENCE)
    if stop is not None and stop.event == EVENT_CLONE:
        threads.stops[carrier] = stop
        return ptrace.event_message(carrier)
    _give_up_stub(threads, carrier, room, stop, original, start)
    return None


def _give_up_stub(
    threads: StoppedThreads, carrier: int, room: Room, stop: Stop | None, original: Registers, start: int
) -> None:
    if stop is None:
        ptrace.interrupt(carrier)
        stop = ptrace.wait_stop(carrier, _STUB_PATIENCE)
    if stop is None or stop.ended:
        raise ForkFailed(f"thread {carrier} vanished", next_step="try again")
    threads.stops[carrier] = stop
    now = ptrace.read_registers(carrier, threads.processor.registers)
    if now.pc == start:
        # Not one instruction ran: a signal was first. The thread gets its place back, then the signal.
        ptrace.write_registers(carrier, original)
        return
    if not room.addr <= now.pc < room.addr + CODE_SIZE:
        threads.registers[carrier] = now
    # Otherwise it is on its way through the stub and finishes it by itself when it is let go.
    raise ForkFailed(
        "the kernel refused a helper thread in the process",
        cause="a limit on threads (pids cgroup, RLIMIT_NPROC) or a seccomp filter",
        next_step="use --method stop",
    )


def _await_copy(threads: StoppedThreads, helper: int) -> int:
    """Let the helper fork; return the copy's process id. The helper stays stopped behind its clone."""
    stop = ptrace.wait_stop(helper, _STUB_PATIENCE)
    deadline = time.monotonic() + _FORK_PATIENCE
    while stop is not None and not stop.ended and stop.event != EVENT_CLONE:
        ptrace.resume(helper, stop.signal)
        stop = ptrace.wait_stop(helper, max(0.0, deadline - time.monotonic()))
    if stop is None or stop.ended:
        raise ForkFailed(
            "the kernel refused to fork the process",
            cause="too little memory (overcommit, cgroup limit), a limit on processes or a seccomp filter",
            next_step="use --method stop",
        )
    threads.stops[helper] = stop
    return ptrace.event_message(helper)


def settle_copy(copy: Copy) -> None:
    """Wait until the copy stands, and offer it to the kernel's out-of-memory killer before the service."""
    stop = ptrace.wait_stop(copy.pid, _END_PATIENCE)
    if stop is None or stop.ended:
        raise ForkFailed(
            "the copy of the process was killed", cause="memory ran out", next_step="use --method stop"
        )
    with contextlib.suppress(OSError):
        (PROC / str(copy.pid) / "oom_score_adj").write_text("1000")


def end_copy(pid: int, copy: Copy) -> bool:
    """End the copy, wait until the helper has gone, and put the program's bytes back.

    Returns:
        Whether the target is as it was to the last byte; if not, the stub lies where it harms nothing.
    """
    _end_process(copy.pid)
    deadline = time.monotonic() + _END_PATIENCE
    while Path(f"/proc/{pid}/task/{copy.helper}").exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.0005)
    return _restore_code(pid, copy)


def end_strays(pid: int, program_path: str) -> None:
    """End what a fork left that failed half-way: a helper or a copy that we trace and were never told of.

    When the target is killed between a clone and its report, the kernel has made us the tracer of the new
    task all the same; a dead thread would keep the whole process from being reaped, a copy would stand.
    """
    us = str(threading.get_native_id())
    with contextlib.suppress(TargetGone):
        for tid in thread_ids(pid):
            if status_fields(read_text(pid, f"task/{tid}/status") or "").get("TracerPid") == us:
                ptrace.wait_stop(tid, _STUB_PATIENCE)
    for entry in PROC.iterdir():
        text = read_text(int(entry.name), "status") if entry.name.isdigit() else None
        if text is None or status_fields(text).get("TracerPid") != us:
            continue
        with contextlib.suppress(OSError):
            if int(entry.name) != pid and (entry / "exe").readlink() == Path(program_path):
                ptrace.wait_stop(int(entry.name), _STUB_PATIENCE)
                _end_process(int(entry.name))


def _end_process(pid: int) -> None:
    """Let the copy run into its exit_group; that needs no right to send it a signal."""
    with contextlib.suppress(OSError):
        ptrace.resume(pid)
    for patience in (_END_PATIENCE, _END_PATIENCE):
        stop = ptrace.wait_stop(pid, patience)
        if stop is not None and stop.ended:
            return
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def _restore_code(pid: int, copy: Copy) -> bool:
    if not _left_the_stub(pid, copy):
        return False
    try:
        with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
            os.pwrite(memory.fileno(), copy.room.original, copy.room.addr)
    except OSError:
        # Linux 6.12 and newer can be set to refuse this to all but the tracer (proc_mem.force_override).
        return False
    return True


def _left_the_stub(pid: int, copy: Copy) -> bool:
    """Tell whether the carrier is certainly past the stub: gone, or seen waiting in the kernel elsewhere."""
    for _ in range(20):
        if thread_state(pid, copy.carrier) in "XZ":
            return True
        words = (read_text(pid, f"task/{copy.carrier}/syscall") or "running").split()
        if len(words) >= 3:
            addr = int(words[-1], 16)
            return not copy.room.addr <= addr < copy.room.addr + CODE_SIZE
        time.sleep(0.001)
    return False
