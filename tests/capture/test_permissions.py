"""`examine` says whether a process can be captured, and why not."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from heldby.capture import Check, capture_process, examine
from tests.capture.service import Service
from tests.capture.test_captures import as_root, traced_by_another

pytestmark = pytest.mark.ptrace


def outcomes(checks: tuple[Check, ...]) -> dict[str, str]:
    return {check.name: check.outcome for check in checks}


def test_a_process_of_ours_can_be_captured(service: Service) -> None:
    diagnosis = examine(service.pid)

    assert diagnosis.can_capture
    assert list(outcomes(diagnosis.checks)) == [
        *("machine", "process", "permission", "user", "ptrace_scope", "dumpable"),
        *("tracer", "container", "program", "fork", "space"),
    ]
    assert {check.outcome for check in diagnosis.checks} <= {"ok", "warn"}
    assert capture_process(service.pid, None).core.threads


def test_looking_leaves_no_trace(service: Service) -> None:
    for _ in range(20):
        examine(service.pid)

    service.require_intact()


def test_a_process_that_is_not_there_fails_with_advice() -> None:
    diagnosis = examine(4194303)

    assert not diagnosis.can_capture
    assert diagnosis.checks[-1].found == "there is no process 4194303 here"
    assert "check the PID" in (diagnosis.checks[-1].advice or "")


def test_a_program_that_is_not_go_fails() -> None:
    diagnosis = examine(os.getpid())

    assert outcomes(diagnosis.checks)["program"] == "fail"
    assert not diagnosis.can_capture


def test_a_kernel_thread_has_no_memory() -> None:
    assert "it has no memory" in examine(2).checks[-1].found


def test_a_traced_process_names_its_tracer(service: Service) -> None:
    with traced_by_another(service.pid) as tracer:
        diagnosis = examine(service.pid)

    assert outcomes(diagnosis.checks)["tracer"] == "fail"
    found = next(check.found for check in diagnosis.checks if check.name == "tracer")
    assert found.startswith(f"process {tracer} (")
    assert not diagnosis.can_capture


@as_root
def test_another_user_is_told_what_is_missing(service: Service) -> None:
    code = f"""
import os, json
from heldby.capture import examine
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
diagnosis = examine({service.pid})
print(json.dumps([diagnosis.can_capture, [[c.name, c.outcome, c.found, c.advice] for c in diagnosis.checks]]))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    can_capture, checks = json.loads(said)
    by_name = {name: (outcome, found, advice) for name, outcome, found, advice in checks}
    assert can_capture is False
    assert by_name["permission"][0] == "fail"
    assert by_name["user"] == (
        "fail",
        "the process belongs to uid 0, gid 0, we are 65534:65534 without CAP_SYS_PTRACE",
        "run with sudo, or as that user; in a container add the capability SYS_PTRACE",
    )


@as_root
def test_a_process_that_must_not_be_dumped_is_said_to_be_so() -> None:
    code = """
import ctypes, os, sys
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
print("ready", flush=True)
sys.stdin.read()
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        checks = {check.name: check for check in examine(process.pid).checks}
    finally:
        process.communicate()

    assert checks["dumpable"].found.startswith("the program gained privileges")
    assert checks["user"].found == "another user (uid 65534, gid 65534), but we have CAP_SYS_PTRACE"
