"""A capture that is killed at any instant leaves the service as it was.

The service checks its own answers while it is captured (busy/main.go); after each kill its threads, children
and the machine's processes are looked at from outside.
"""

from __future__ import annotations

import random
import signal

import pytest

from tests.capture.service import CrashServer, Service

pytestmark = pytest.mark.ptrace

#: A capture makes fewer requests than this; the test fails if that changes.
MOST_REQUESTS = 400


def kill_at_each_request(service: Service, crashes: CrashServer, method: str, lingers: list[float]) -> int:
    """Kill captures at their first, second ... ptrace request; return at how many."""
    for call in range(MOST_REQUESTS):
        for linger in lingers:
            outcome = crashes.capture(service, method, call=call, linger=linger)
            service.require_sound()
            if not outcome["killed"]:
                assert outcome["status"] == 0, outcome
                return call
    raise AssertionError(f"more than {MOST_REQUESTS} requests")


def test_a_capture_killed_at_any_ptrace_request_leaves_no_trace(
    service: Service, crashes: CrashServer
) -> None:
    requests = kill_at_each_request(service, crashes, "fork", [0.0])

    service.require_intact()
    assert requests > 60  # stopping a dozen threads, writing the stub, running it, letting go


def test_a_stopped_process_goes_on_when_the_capture_is_killed_at_any_request(
    service: Service, crashes: CrashServer
) -> None:
    requests = kill_at_each_request(service, crashes, "stop", [0.0])

    service.require_intact()
    assert requests > 20  # as many as there are threads at the moment, three or four for each


def test_captures_killed_at_random_moments_leave_no_trace(service: Service, crashes: CrashServer) -> None:
    rng = random.Random(20261122)

    killed = 0
    for _ in range(60):
        method = rng.choice(["fork", "fork", "fork", "stop"])
        killed += crashes.capture(service, method, delay=rng.random() * 0.05)["killed"]
        service.require_sound()

    service.require_intact()
    assert killed >= 30


def test_the_service_is_sound_after_many_whole_captures(service: Service, crashes: CrashServer) -> None:
    outcomes = [crashes.capture(service) for _ in range(20)]

    service.require_intact()
    assert [outcome.get("method") for outcome in outcomes] == ["fork"] * 20


@pytest.mark.parametrize("carrier", ["user code", "any"])
def test_the_fork_may_be_carried_by_any_thread(service: Service, crashes: CrashServer, carrier: str) -> None:
    outcomes = [crashes.capture(service, "fork", carrier=carrier) for _ in range(40)]

    service.require_intact()
    # A thread in user code is not always there at the moment.
    assert sum(outcome.get("method") == "fork" for outcome in outcomes) >= 5


def test_a_thread_in_user_code_keeps_its_registers_when_the_capture_is_killed(
    service: Service, crashes: CrashServer
) -> None:
    killed = 0
    for call in range(20, 120):
        killed += crashes.capture(service, "fork", carrier="user code", call=call)["killed"]
    service.require_intact()
    assert killed > 30


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_cancelled_capture_ends_with_cancelled_and_leaves_no_trace(
    service: Service, crashes: CrashServer, number: int
) -> None:
    rng = random.Random(number)

    errors = set()
    for _ in range(25):
        outcome = crashes.capture(service, "fork", delay=0.004 + rng.random() * 0.03, signal=int(number))
        errors.add(outcome.get("error"))
        service.require_sound()

    service.require_intact()
    assert "Cancelled" in errors


@pytest.mark.slow
@pytest.mark.parametrize("linger", [0.0005, 0.005, 0.05])
def test_the_target_may_run_on_for_a_while_before_the_kill(
    service: Service, crashes: CrashServer, linger: float
) -> None:
    kill_at_each_request(service, crashes, "fork", [linger])

    service.require_intact()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_hundreds_of_captures_killed_at_random_moments_leave_no_trace(
    service: Service, crashes: CrashServer
) -> None:
    rng = random.Random()

    for _ in range(1000):
        crashes.capture(service, rng.choice(["fork", "fork", "stop"]), delay=rng.random() * 0.06)
        service.require_sound()

    service.require_intact()
