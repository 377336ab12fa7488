"""The two answers to "where is the memory?", side by side, on a real service.

Starts a NATS server and the baselines service, publishes measurements until the service holds a few hundred
megabytes, and asks both pprof and heldby. Then it checks that the answers are what we say they are: pprof
names encoding/json, where the bytes were allocated; heldby names the field that keeps them, with as many
bytes as the service itself counts. Exit code 1 if not.

Run it with ``make demo``.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent  # of .venv; make setup linked a Go toolchain there

MESSAGES = 80_000
HOLDER = "main.manager.paths[*].Seen[*]"
STATEMENT = "b.Seen = append(b.Seen, sample.ID)"

#: The sample IDs are 115 to 121 bytes long; Go keeps a string of 113 to 128 bytes in a slot of 128.
STRING_SLOT = 128
#: What a string takes in a slice.
STRING_HEADER = 16

PR_SET_PDEATHSIG = 1
PR_SET_PTRACER = 0x59616D61
PR_SET_PTRACER_ANY = ctypes.c_ulong(-1)


class DemoFailed(Exception):
    """Something did not start, or an answer is not what we say it is."""


def main() -> int:
    """Run the demo; return its exit code."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        with contextlib.ExitStack() as started:
            folder = Path(started.enter_context(tempfile.TemporaryDirectory(prefix="heldby-demo-")))
            _demonstrate(folder, started)
    except KeyboardInterrupt:
        print("\nstopped; everything that was started has been ended", file=sys.stderr)
        return 130
    except DemoFailed as error:
        print(f"\nDEMO FAILED: {error}", file=sys.stderr)
        return 1
    return 0


def _demonstrate(folder: Path, started: contextlib.ExitStack) -> None:
    _say("building the service (examples/baselines, with the nats.go client)")
    service, publish = folder / "baselines", folder / "publish"
    _go(["build", "-o", str(service), "."])
    _go(["build", "-o", str(publish), "./publish"])

    _say("starting nats-server and the service")
    broker_port, debug_port = _free_ports(2)
    url = f"nats://127.0.0.1:{broker_port}"
    log = folder / "log"
    started.enter_context(
        _process([str(BIN / "nats-server"), "-a", "127.0.0.1", "-p", str(broker_port)], log, port=broker_port)
    )
    pid = started.enter_context(
        _process([str(service), "-nats", url, "-debug", f"127.0.0.1:{debug_port}"], log, port=debug_port)
    )
    _wait_for_subscription(url, log)

    _say(f"publishing {MESSAGES:,} messages, 28 samples each")
    _run([str(publish), "-nats", url, "-messages", str(MESSAGES)])
    kept = json.loads(_fetch(debug_port, "/debug/vars"))["baselines"]
    if kept["messages"] != MESSAGES:
        raise DemoFailed(f"the service handled {kept['messages']:,} of {MESSAGES:,} messages")
    print(
        f"  the service holds {kept['baselines']:,} baselines that it should have dropped,"
        f" with {kept['seen']:,} sample IDs"
    )

    profile = folder / "heap.pb.gz"
    profile.write_bytes(_fetch(debug_port, "/debug/pprof/heap?gc=1"))
    _title("pprof: where was it allocated?", "go tool pprof -top heap.pb.gz")
    top = _go(["tool", "pprof", "-top", "-nodecount=10", "-sample_index=inuse_space", str(profile)])
    print(top.rstrip())

    _title("heldby: who holds it?", f"heldby {pid}")
    _run([str(BIN / "heldby"), str(pid)])
    answer = json.loads(_run([str(BIN / "heldby"), str(pid), "--format", "json"], capture=True))

    _title("checked")
    json_share = _encoding_json_share(top)
    _check_pprof(top, json_share)
    _check_heldby(answer, kept)


def _allocated(answer: dict[str, Any], holder: int) -> dict[str, float]:
    """Return the share of each allocating function in a holder's bytes."""
    held = [row for row in answer["held"] if row["holder"] == holder]
    found: dict[str, float] = {}
    for row in held:
        name = answer["sites"][row["site"]]["stack"][0]["func"]
        found[name] = found.get(name, 0) + row["bytes"] / sum(each["bytes"] for each in held)
    return found


def _check_pprof(top: str, share: float) -> None:
    if share < 80:
        raise DemoFailed(
            f"pprof puts {share:.1f} % of the heap down to encoding/json; we expected 80 % or more"
        )
    if "manager" in top or "Seen" in top:
        raise DemoFailed("pprof names the field that holds the memory; we say that it does not")
    print(f"  pprof:  {share:.1f} % was allocated in encoding/json; no word of who keeps it")


def _check_heldby(answer: dict[str, Any], kept: dict[str, int]) -> None:
    """Compare the first holder with what the service counts itself."""
    string_bytes = kept["seen"] * STRING_SLOT
    if not (STRING_SLOT - 16) * kept["seen"] < kept["seen_bytes"] <= string_bytes:
        raise DemoFailed("the sample IDs no longer fit the slots that this demo expects")
    if not answer["holders"]:
        raise DemoFailed("heldby names no holder")
    first = answer["holders"][0]
    share = first["retained_bytes"] / answer["heap"]["live_bytes"]
    if HOLDER not in first["path"]:
        raise DemoFailed(f"heldby's first holder is {first['path']}, not {HOLDER}")
    if share < 0.6:
        raise DemoFailed(f"{first['path']} holds {share:.1%} of the live bytes; we expected 60 % or more")
    expected = string_bytes + STRING_HEADER * kept["seen_slots"]  # the strings, and the slices they are in
    difference = abs(first["retained_bytes"] - expected) / expected
    if difference > 0.02:
        raise DemoFailed(
            f"heldby says {first['path']} retains {first['retained_bytes']:,} bytes;"
            f" by the service's own count it keeps {expected:,}"
        )
    sites = _allocated(answer, 0)
    json_share = sum(share for name, share in sites.items() if name.startswith("encoding/json"))
    expected_share = string_bytes / expected
    if not 0.8 * expected_share < json_share < 1.2 * expected_share or not any(
        name.startswith("main.(*Baseline).Add") for name in sites
    ):
        raise DemoFailed(
            f"heldby says that it was allocated by {sites}; strings are {expected_share:.1%} of it"
        )
    stored = first["stored_by"][0] if first["stored_by"] else {}
    statements = (HERE / "baseline.go").read_text().splitlines()
    line = next(number for number, text in enumerate(statements, 1) if STATEMENT in text)
    if (stored.get("line"), stored.get("statement")) != (line, STATEMENT):
        raise DemoFailed(f"heldby says it is stored by {stored}; we expected line {line}: {STATEMENT}")
    print(f"  heldby: {share:.1%} of the live bytes are held by {first['path']}")
    print(f"          stored by baseline.go:{line}: {STATEMENT}")
    print(f"          of it encoding/json allocated {json_share:.1%}; the strings are {expected_share:.1%}")
    print(
        f"          {first['retained_bytes']:,} bytes; the service itself counts {expected:,}"
        f" ({difference:.3%} apart)"
    )


def _encoding_json_share(top: str) -> float:
    """Return the largest cumulative share, in per cent, of a function of encoding/json.

    The columns are flat, flat%, sum%, cum, cum%, name. Since Go 1.27 the functions are those of
    encoding/json/v2 and jsontext, which encoding/json calls.
    """
    row = re.compile(r"^\s*\S+\s+\S+%\s+\S+%\s+\S+\s+(\S+)%\s+encoding/json", re.MULTILINE)
    return max((float(share) for share in row.findall(top)), default=0.0)


@contextlib.contextmanager
def _process(command: Sequence[str], log: Path, *, port: int) -> Iterator[int]:
    """Start a server, wait until its port answers, and end it in any case. Gives its PID."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=_before_exec,  # noqa: PLW1509 (this program has one thread)
        )
    try:
        deadline = time.monotonic() + 30
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise DemoFailed(f"{command[0]} does not answer on port {port}:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _before_exec() -> None:
    """Let heldby trace the service where Yama (ptrace_scope 1) allows only ancestors; stay out of our Ctrl-C.

    A debugger of one's own service, in the same session, is what the setting is not meant to stop. And end
    with the demo, even if that is killed.
    """
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.setpgid(0, 0)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _wait_for_subscription(url: str, log: Path) -> None:
    """The service opens its debug port first and subscribes then; its log line comes last."""
    deadline = time.monotonic() + 30
    while f"from {url}" not in log.read_text():
        if time.monotonic() > deadline:
            raise DemoFailed(f"the service does not subscribe:\n{log.read_text()[-2000:]}")
        time.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface that nobody uses now."""
    with contextlib.ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for candidate in sockets:
            candidate.bind(("127.0.0.1", 0))
        return [candidate.getsockname()[1] for candidate in sockets]


def _fetch(port: int, path: str) -> bytes:
    # No proxy: the address is on this machine, whatever the environment says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}{path}", timeout=60) as response:
        body: bytes = response.read()
        return body


def _go(arguments: Sequence[str]) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "GOROOT"}
    environment |= {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}
    return _run([str(BIN / "go"), *arguments], capture=True, environment=environment)


def _run(command: Sequence[str], *, capture: bool = False, environment: dict[str, str] | None = None) -> str:
    """Run a command to its end; its output goes to the screen, or is returned when ``capture`` is set."""
    sys.stdout.flush()
    answer = subprocess.run(
        command,
        cwd=HERE,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if capture else None,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        raise DemoFailed(f"{' '.join(command)} ended with exit code {answer.returncode}")
    return answer.stdout or ""


def _stop(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


_BEGIN = time.monotonic()


def _say(text: str) -> None:
    print(f"[{time.monotonic() - _BEGIN:5.1f} s] {text}", flush=True)


def _title(text: str, command: str | None = None) -> None:
    print(f"\n{'━' * 100}\n{text}" + (f"\n$ {command}" if command else "") + f"\n{'━' * 100}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
