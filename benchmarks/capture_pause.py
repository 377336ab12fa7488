"""How long a capture pauses a Go process, how fast it copies, and how large the file is, next to gcore.

    .venv/bin/python benchmarks/capture_pause.py [--mebibytes 1024] [--rounds 5] [--threads 0] [--garbage]
        [--gcore]

Grows a Go process to the size asked for and captures it by fork and by stop. *pause* is what heldby measured
(first interrupt to last detach), *felt* the longest time the process itself saw its clock stand still, over
all rounds. Both are stated per GiB resident as well; the promise is 150 ms per GiB, the goal 100.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from heldby.capture import capture_process  # noqa: E402
from heldby.capture.procfs import status_bytes, status_fields  # noqa: E402
from heldby.units import format_bytes  # noqa: E402
from tests.support.build import build  # noqa: E402
from tests.support.process import running  # noqa: E402
from tests.support.toolchains import NEWEST, toolchain  # noqa: E402

GIB = 1 << 30


def main() -> None:
    options = _options()
    program = build(ROOT / "benchmarks" / "programs" / "grow", toolchain(NEWEST))
    garbage = "garbage" if options.garbage else "none"
    for method in ("fork", "stop"):
        arguments = [str(options.mebibytes), garbage, str(options.threads)]
        with running(program, arguments, timeout=600) as process, tempfile.TemporaryDirectory() as folder:
            resident = _resident(process.pid)
            pauses, rates, captured = [], [], 0
            for _ in range(options.rounds):
                capture = capture_process(process.pid, Path(folder) / "core", method=method, force=True)
                assert capture.method == method
                pauses.append(capture.pause_ns / 1e6)
                rates.append(capture.captured_bytes / capture.seconds / 1e9)
                captured = capture.captured_bytes
            process.send("end")
            felt = float(process.line()["gap_ms"])
        pause = statistics.median(pauses)
        print(
            f"{method}: resident {format_bytes(resident)}, "
            f"pause median {pause:.1f} ms, worst {max(pauses):.1f} ms "
            f"({pause / resident * GIB:.1f} ms per GiB), felt at most {felt:.1f} ms; "
            f"{statistics.median(rates):.2f} GB/s, pages in the file {format_bytes(captured)}",
            flush=True,
        )
    if options.gcore:
        _gcore(program, options)


def _gcore(program: Path, options: argparse.Namespace) -> None:
    garbage = "garbage" if options.garbage else "none"
    arguments = [str(options.mebibytes), garbage, str(options.threads)]
    with running(program, arguments, timeout=600) as process, tempfile.TemporaryDirectory() as folder:
        resident = _resident(process.pid)
        started = time.monotonic()
        subprocess.run(["gcore", "-o", f"{folder}/core", str(process.pid)], check=True, capture_output=True)
        seconds = time.monotonic() - started
        (core,) = Path(folder).iterdir()
        size = core.stat()
    print(
        f"gcore: resident {format_bytes(resident)}, stopped {seconds * 1e3:.0f} ms,"
        f" file {format_bytes(size.st_size)} ({format_bytes(size.st_blocks * 512)} on disk)"
    )


def _resident(pid: int) -> int:
    fields = status_fields(Path(f"/proc/{pid}/status").read_text())
    return status_bytes(fields, "VmRSS") or 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mebibytes", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="threads that sleep in a system call")
    parser.add_argument("--garbage", action="store_true", help="fill and return the memory once before")
    parser.add_argument("--gcore", action="store_true", help="run gcore on the same process")
    return parser.parse_args()


if __name__ == "__main__":
    main()
