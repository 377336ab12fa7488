"""`examine`: may this user capture that process, and if not, what to change. Stops nothing.

The kernel's own answer is the judge: opening /proc/PID/mem asks the same question as ptrace
(``ptrace_may_access`` with PTRACE_MODE_ATTACH, kernel/ptrace.c). The other checks say why.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from heldby.capture.code_room import find_rooms
from heldby.capture.headroom import Headroom, available_memory
from heldby.capture.injection import CODE_SIZE
from heldby.capture.processor import this_processor
from heldby.capture.procfs import (
    in_other_pid_namespace,
    read_text,
    status_bytes,
    status_fields,
)
from heldby.capture.program import open_go_libraries, open_program
from heldby.capture.recording import estimate_pages
from heldby.errors import HeldbyError, Unsupported
from heldby.memory.mappings import parse_maps
from heldby.units import format_bytes

_CAP_SYS_PTRACE = 19
_CAP_SYS_ADMIN = 21
Outcome = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what, in a word or two.
        outcome: ``fail`` prevents a capture, ``warn`` makes it worse or slower.
        found: what is the case.
        advice: what to change, None when there is nothing to change.
    """

    name: str
    outcome: Outcome
    found: str
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All checks of one process, in the order in which a person would ask."""

    pid: int
    checks: tuple[Check, ...]

    @property
    def can_capture(self) -> bool:
        """No check failed."""
        return all(check.outcome != "fail" for check in self.checks)


def examine(pid: int) -> Diagnosis:
    """Look at a process and at this user's rights. Raises nothing; what cannot be read is said."""
    checks = [_machine()]
    status = read_text(pid, "status")
    if status is None:
        visible = Path(f"/proc/{pid}").exists()
        found = f"/proc/{pid} may not be read" if visible else f"there is no process {pid} here"
        advice = (
            "run as root, or mount /proc without hidepid"
            if visible
            else "check the PID with ps; in a container share the target's PID namespace"
        )
        return Diagnosis(pid, (*checks, Check("process", "fail", found, advice)))
    fields = status_fields(status)
    checks.append(Check("process", "ok", f"{fields.get('Name', '?')}, {fields.get('Threads', '?')} threads"))
    if "VmSize" not in fields:
        found = "it has no memory: a kernel thread, or a process that has ended and waits for its parent"
        return Diagnosis(
            pid, (*checks, Check("program", "fail", found, "give the PID of a running Go program"))
        )
    allowed = _kernel_allows(pid)
    checks += [_kernel(pid, allowed), _user(fields, allowed), _yama(allowed), _dumpable(pid, fields, allowed)]
    checks += [_tracer(fields), _container(pid)]
    if allowed:
        checks += _program_and_fork(pid, status, fields)
    return Diagnosis(pid, tuple(checks))


def _machine() -> Check:
    system, machine = platform.system(), platform.machine()
    if system != "Linux":
        return Check(
            "machine",
            "fail",
            f"{system} {machine}",
            "captures are taken on Linux; cores can be read anywhere",
        )
    try:
        processor = this_processor()
    except Unsupported as error:
        return Check("machine", "fail", error.message, "a core from gcore can be read anywhere")
    found = f"Linux {platform.release()} {processor.name}"
    if processor.name == "arm64":
        advice = "captures on arm64 were tested in an emulator only: try a process you can spare first"
        return Check("machine", "warn", found, advice)
    return Check("machine", "ok", found)


def _kernel_allows(pid: int) -> bool:
    try:
        os.close(os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _kernel(pid: int, allowed: bool) -> Check:
    if allowed:
        return Check("permission", "ok", "the kernel lets this user read the process's memory")
    return Check(
        "permission",
        "fail",
        f"the kernel does not let this user trace process {pid}",
        "change what the next lines name; if all are ok, a security module (AppArmor, SELinux) or a user "
        "namespace forbids it: try as root outside of the container",
    )


def _user(fields: dict[str, str], allowed: bool) -> Check:
    theirs = (fields.get("Uid", "").split()[:3], fields.get("Gid", "").split()[:3])
    ours = (str(os.geteuid()), str(os.getegid()))
    same = all(identity == ours[0] for identity in theirs[0]) and all(g == ours[1] for g in theirs[1])
    if same:
        return Check("user", "ok", f"the same user, {ours[0]}:{ours[1]}")
    owner = f"uid {'/'.join(dict.fromkeys(theirs[0]))}, gid {'/'.join(dict.fromkeys(theirs[1]))}"
    if _has_capability(_CAP_SYS_PTRACE):
        if allowed:
            return Check("user", "ok", f"another user ({owner}), but we have CAP_SYS_PTRACE")
        return Check(
            "user",
            "warn",
            f"another user ({owner}); our CAP_SYS_PTRACE does not count for its user namespace",
            "run outside the container, as root of the host",
        )
    return Check(
        "user",
        "fail",
        f"the process belongs to {owner}, we are {ours[0]}:{ours[1]} without CAP_SYS_PTRACE",
        "run with sudo, or as that user; in a container add the capability SYS_PTRACE",
    )


def _yama(allowed: bool) -> Check:
    scope = _text("/proc/sys/kernel/yama/ptrace_scope")
    if scope in (None, "0"):
        return Check("ptrace_scope", "ok", "any process of the same user" if scope else "no Yama")
    privileged = _has_capability(_CAP_SYS_PTRACE)
    advice = "run with sudo, or sysctl kernel.yama.ptrace_scope=0 for the time of the capture"
    if scope == "3":
        return Check(
            "ptrace_scope",
            "fail",
            "3: nobody may trace until the next boot",
            "boot without kernel.yama.ptrace_scope=3, or let the kernel write a core",
        )
    meaning = "only children" if scope == "1" else "only with CAP_SYS_PTRACE"
    outcome: Outcome = "ok" if privileged or allowed else "fail"
    return Check("ptrace_scope", outcome, f"{scope}: {meaning}", None if outcome == "ok" else advice)


def _dumpable(pid: int, fields: dict[str, str], allowed: bool) -> Check:
    """The kernel gives the files of a process that must not be dumped to root (fs/proc/base.c)."""
    try:
        owner = Path(f"/proc/{pid}/mem").stat().st_uid
    except OSError:
        owner = -1
    if str(owner) in fields.get("Uid", "").split()[1:2]:
        return Check("dumpable", "ok", "the program allows core dumps")
    outcome: Outcome = "ok" if allowed else "fail"
    advice = "run with sudo: it needs CAP_SYS_PTRACE"
    found = "the program gained privileges, is unreadable or forbade core dumps (PR_SET_DUMPABLE)"
    return Check("dumpable", outcome, found, None if allowed else advice)


def _tracer(fields: dict[str, str]) -> Check:
    tracer = fields.get("TracerPid", "0")
    if tracer == "0":
        return Check("tracer", "ok", "no debugger is attached")
    name = status_fields(read_text(int(tracer), "status") or "").get("Name", "?") if tracer.isdigit() else "?"
    return Check("tracer", "fail", f"process {tracer} ({name}) traces it", f"end {name} or wait for it")


def _container(pid: int) -> Check:
    if in_other_pid_namespace(pid):
        return Check("container", "ok", "it runs in a container, and we see it from outside")
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return Check("container", "ok", "we run in its container")
    return Check("container", "ok", "it shares our PID namespace")


def _program_and_fork(pid: int, status: str, fields: dict[str, str]) -> Iterator[Check]:
    try:
        program = open_program(pid)
    except HeldbyError as error:
        yield Check("program", "fail", error.message, error.next_step)
        return
    mappings = parse_maps(read_text(pid, "maps") or "")
    libraries = open_go_libraries(pid, program, mappings)
    try:
        if program.is_go:
            yield Check("program", "ok", f"{program.path} is written in Go")
        elif libraries:
            yield Check("program", "ok", f"{libraries[0].path}, which it loaded, is written in Go")
        else:
            yield Check("program", "fail", f"{program.path} is no Go program", "give the PID of a Go program")
        room = bool(find_rooms(pid, program, mappings, CODE_SIZE))
        yield _fork(pid, status, fields, room)
        yield _memory((estimate_pages(status) or 0) + sum(file.size for file in (program, *libraries)))
    finally:
        for file in (program, *libraries):
            file.close()


def _fork(pid: int, status: str, fields: dict[str, str], room: bool) -> Check:
    """Say whether the short pause is possible; otherwise the process stands still while it is copied."""
    slow = f"it would stand still for the whole copy, about {_copy_seconds(fields):.1f} s"
    if not room:
        return Check("fork", "warn", f"the program has no room for the forking code: {slow}")
    if fields.get("State", "").startswith("T"):
        return Check("fork", "ok", "the process is stopped already and is read as it stands")
    if fields.get("Seccomp", "0") != "0" and not _has_capability(_CAP_SYS_ADMIN):
        return Check(
            "fork", "warn", f"it has a seccomp filter that we may not read: {slow}", "run as root of the host"
        )
    if reason := Headroom(pid).why_too_little(status, 0):
        return Check(
            "fork", "warn", f"{reason}: {slow}", "raise its memory limit for the time of the capture"
        )
    if _text("/proc/sys/vm/overcommit_memory") == "2":
        return Check("fork", "warn", f"vm.overcommit_memory is 2, so the kernel may refuse: {slow}")
    return Check("fork", "ok", "it can be forked: the pause is about that of a fork")


def _memory(needed: int) -> Check:
    free = available_memory()
    if free is None or needed < free:
        return Check("space", "ok", f"the capture takes about {format_bytes(needed)} of memory or disk")
    return Check(
        "space",
        "warn",
        f"the capture takes about {format_bytes(needed)}, the machine has {format_bytes(free)} of memory",
        "capture to a disk with heldby capture PID -o FILE",
    )


def _copy_seconds(fields: dict[str, str]) -> float:
    return (status_bytes(fields, "VmRSS") or 0) / 1.5e9


def _has_capability(number: int) -> bool:
    effective = status_fields(read_text(os.getpid(), "status") or "").get("CapEff", "0")
    return bool(int(effective, 16) >> number & 1)


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
