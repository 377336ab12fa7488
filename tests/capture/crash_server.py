"""Forks capturing processes and lets them be killed: run by tests as a process of its own.

It imports heldby once, then reads one JSON order a line and answers each with one JSON line. Forking is safe
here because this process has one thread; it makes hundreds of killed captures affordable.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from heldby.capture import capture_process, ptrace
from heldby.capture.processor import Processor, this_processor
from heldby.capture.ptrace import Registers
from heldby.errors import HeldbyError


def die_at_call(number: int, linger: float) -> None:
    """Let this process be killed instead of making its ptrace request number `number`, counted from 0."""
    request = ptrace._ptrace
    made = 0

    def counted(*arguments: int) -> int:
        nonlocal made
        if made == number:
            # What the target does on its own until the kill is part of the test.
            time.sleep(linger)
            os.kill(os.getpid(), signal.SIGKILL)
        made += 1
        return request(*arguments)

    ptrace._ptrace = counted


def carry_by(kind: str) -> None:
    """Choose the thread that runs the stub: one in user code, or any one that can."""
    processor = type(this_processor())
    judge = processor.suitability

    def choose(self: Processor[Any], tid: int, registers: Registers, addr: int) -> int | None:
        rank = judge(self, tid, registers, addr)
        if kind == "user code":
            return rank if rank == 3 else None
        return None if rank is None else random.randrange(1000)

    processor.suitability = choose


def capture(order: dict[str, Any], pipe: int) -> None:
    if "carrier" in order:
        carry_by(order["carrier"])
    if "call" in order:
        die_at_call(order["call"], order.get("linger", 0.0))
    destination = Path(order["destination"]) if order.get("destination") else None
    try:
        taken = capture_process(order["pid"], destination, method=order["method"], force=True)
        answer = {"method": taken.method, "fallback": taken.fallback, "pause_ns": taken.pause_ns}
    except HeldbyError as error:
        answer = {"error": type(error).__name__, "message": error.message}
    os.write(pipe, json.dumps(answer).encode())


def obey(order: dict[str, Any]) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            capture(order, writing)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    if "delay" in order:
        time.sleep(order["delay"])
        os.kill(child, order.get("signal", signal.SIGKILL))
    _, status = os.waitpid(child, 0)
    answer = os.read(reading, 65536)
    os.close(reading)
    return {
        "killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL,
        "status": status,
        **(json.loads(answer) if answer else {}),
    }


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
