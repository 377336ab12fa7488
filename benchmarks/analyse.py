"""Seconds and memory from a core on disk to the answer, at several sizes, and beside other tools.

    .venv/bin/python benchmarks/analyse.py [MILLIONS ...] [--rounds 3] [--core heldby|gcore] [--keep FOLDER]
        [--grf PATH] [--viewcore PATH] [--peer-limit MILLIONS] [--go 1.26.6]

Runs `programs/orders` at 1, 5, 10 and 20 million objects unless told otherwise, captures it, and measures
whole processes of ``heldby CORE --format json``: wall and CPU seconds and peak resident memory, as the kernel
counts them (wait4). The answer is thrown away, the core is in the page cache, the kernels are compiled; the
median of the rounds counts. Resident memory includes the pages of the core that were looked at, so the
size of the capture is subtracted.

A peer is an executable that you installed yourself (`grf`: https://github.com/cloudwego/goref; `viewcore`:
golang.org/x/debug/cmd/viewcore). It reads the same core as heldby, plus the program with its DWARF, which it
needs; heldby is given the core alone. viewcore reads cores by gcore only. Rounds alternate: heldby, peer,
heldby, peer. CPU seconds say more on a busy machine. With --keep the cores stay in FOLDER and are used again.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.build import build  # noqa: E402
from tests.support.process import running  # noqa: E402
from tests.support.toolchains import Toolchain, toolchain  # noqa: E402

# This process imports neither heldby nor NumPy: a child's peak starts at what its parent had when it forked.
HELDBY = Path(sys.executable).with_name("heldby")
MIB = 1 << 20
# Python may keep its byte code, as pip leaves it.
_BASE = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took: seconds on the clock and of the CPU, bytes resident at its peak."""

    wall: float
    cpu: float
    peak: int


@dataclass(frozen=True, slots=True)
class Subject:
    """A process on disk: what is analysed."""

    core: Path
    program: Path
    facts: Mapping[str, Any]

    @property
    def objects(self) -> int:
        """The slots in use when it was captured."""
        return int(self.facts["heap"]["objects"])

    @property
    def captured(self) -> int:
        """The bytes of memory that a capture of the process has."""
        return int(self.facts["captured_bytes"])


def run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end and return what it took. Raises if it does not succeed."""
    with tempfile.TemporaryFile() as complaints:
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            env={**_BASE, **(environment or {})},
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            complaints.seek(0)
            said = complaints.read().decode(errors="replace")[-2000:]
            raise SystemExit(f"exit code {process.returncode} of {command}\n{said}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def middle(costs: Sequence[Cost]) -> Cost:
    """Return the median of each figure."""
    return Cost(
        median(c.wall for c in costs), median(c.cpu for c in costs), round(median(c.peak for c in costs))
    )


def subject(millions: float, folder: Path, go: Toolchain, core_by: str) -> Subject:
    """Return the process of that size in `folder`, run and captured now unless it is there."""
    program = build(ROOT / "benchmarks" / "programs" / "orders", go)
    home = folder / f"{program.parent.name}-{millions:g}-{core_by}"
    facts = home / "facts.json"
    if not facts.exists():
        home.mkdir(parents=True, exist_ok=True)
        with running(program, [str(int(millions * 1e6))], timeout=600) as process:
            subprocess.run(
                [HELDBY, "capture", str(process.pid), "-o", home / "heldby.core", "--force", "-q"], check=True
            )
            if core_by == "gcore":
                subprocess.run(
                    ["gcore", "-o", home / "gcore", str(process.pid)], check=True, stdout=subprocess.DEVNULL
                )
                (home / f"gcore.{process.pid}").rename(home / "gcore.core")
            answer = json.loads(subprocess.check_output([HELDBY, home / "heldby.core", "--format", "json"]))
        kept = {name: answer[name] for name in ("capture", "process", "heap")}
        kept["captured_bytes"] = (home / "heldby.core").stat().st_size
        facts.write_text(json.dumps(kept | {"collector": dict(process.ready)}))
    return Subject(home / f"{core_by}.core", program, json.loads(facts.read_text()))


def analyse(what: Subject) -> Cost:
    """Run heldby on the core."""
    return run([HELDBY, what.core, "--format", "json", "-q", "--no-cache"])


def grf(path: Path) -> Callable[[Subject], Cost]:
    """Return what runs goref on a core: which way each object was reached first, as a pprof profile."""

    def work(what: Subject) -> Cost:
        with tempfile.TemporaryDirectory() as folder:
            profile = Path(folder, "profile")
            cost = run([path, "core", what.program, what.core, "-o", profile])
            if not profile.exists():
                raise SystemExit("grf wrote no profile")
            return cost

    return work


def viewcore(path: Path) -> Callable[[Subject], Cost]:
    """Return what runs viewcore on a core: reachable objects and bytes by type."""
    return lambda what: run([path, what.core, "--exe", what.program, "histogram"])


def first_run(what: Subject, *, shipped: bool) -> Cost:
    """Run heldby with an empty cache; unless `shipped`, without the kernels that came with it either."""
    with tempfile.TemporaryDirectory() as folder:
        # Any setting of Numba's but the place of the cache keeps them out; 3 is the default.
        settings = {"NUMBA_CACHE_DIR": folder} | ({} if shipped else {"NUMBA_OPT": "3"})
        return run([HELDBY, what.core, "--format", "json", "-q", "--no-cache"], settings)


def print_machine(peers: Mapping[str, Path], go: Toolchain) -> None:
    """Say where and with what this was measured."""
    cpu = next(
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    commit = subprocess.run(
        ["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("heldby", "numpy", "numba")]
    print(time.strftime("%Y-%m-%d %H:%M %Z"), "at", commit.stdout.strip() or "no commit")
    print(f"{os.cpu_count()} x {cpu}, {memory:.0f} GiB, Linux {platform.release()}")
    print(f"Python {platform.python_version()}, {', '.join(versions)}; program built with Go {go.version}")
    for name, path in peers.items():
        said = subprocess.run([path, "version"], capture_output=True, text=True, check=False).stdout.strip()
        print(f"{name} is {path}", f"({said.splitlines()[0]})" if name == "grf" and said else "")
    print()


def load() -> str:
    """Return how many processes wanted to run in the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def row(*cells: object) -> None:
    """Print a row of a Markdown table."""
    print("|", " | ".join(str(cell) for cell in cells), "|", flush=True)


def main() -> None:
    """Measure, and print Markdown tables."""
    options = _options()
    peers = {name: getattr(options, name) for name in ("grf", "viewcore") if getattr(options, name)}
    go = toolchain(options.go)
    print_machine(peers, go)
    tools: dict[str, Callable[[Subject], Cost]] = {}
    if options.grf:
        tools["grf"] = grf(options.grf)
    if options.viewcore:
        tools["viewcore"] = viewcore(options.viewcore)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        _measure(options, folder, go, tools)


def _measure(
    options: argparse.Namespace, folder: Path, go: Toolchain, tools: Mapping[str, Callable[[Subject], Cost]]
) -> None:
    helps = [run([HELDBY, "--help"]) for _ in range(11)][1:]
    said = middle(helps)
    print(f"heldby --help: {said.wall * 1e3:.0f} ms, CPU {said.cpu * 1e3:.0f} ms; best of 10:", end=" ")
    print(f"{min(h.wall for h in helps) * 1e3:.0f} ms, CPU {min(h.cpu for h in helps) * 1e3:.0f} ms\n")

    costs: dict[str, list[tuple[Subject, Cost, list[Cost]]]] = {}
    row("objects", "capture MiB", "tool", "wall s", "CPU s", "objects/s", "peak MiB", "B/object", "load")
    row(*["---:", "---:", "---", *["---:"] * 6])
    first: dict[str, Cost] = {}
    for millions in options.millions:
        what = subject(millions, folder, go, options.core)
        analyse(what)  # fills the page cache and compiles
        names = ["heldby", *(tools if millions <= options.peer_limit else ())]
        rounds: dict[str, list[Cost]] = {name: [] for name in names}
        for _ in range(options.rounds):
            for name in names:
                rounds[name].append((tools.get(name) or analyse)(what))
        for name in names:
            cost = middle(rounds[name])
            costs.setdefault(name, []).append((what, cost, rounds[name]))
            row(
                f"{what.objects:,}",
                f"{what.captured / MIB:,.0f}",
                name,
                f"{cost.wall:.2f}",
                f"{cost.cpu:.2f}",
                f"{what.objects / cost.wall / 1e6:.2f} M",
                f"{cost.peak / MIB:,.0f}",
                f"{(cost.peak - what.captured) / what.objects:.0f}",
                load(),
            )
        if not first:
            first = {
                "warm": middle(rounds["heldby"]),
                "with the kernels that came with it": first_run(what, shipped=True),
                "with every kernel compiled now": first_run(what, shipped=False),
            }
    print()
    _print_slope(costs["heldby"])
    for name in tools:
        _print_ratios(name, costs)
    warm = first.pop("warm")
    print("\nfirst run ever, smallest core, beyond the median above:")
    for name, cold in first.items():
        print(f"  {name}: {cold.wall - warm.wall:.1f} s more, CPU {cold.cpu - warm.cpu:.1f} s more")


def _print_slope(rows: Sequence[tuple[Subject, Cost, list[Cost]]]) -> None:
    """Print what one more object costs between neighbouring sizes: equal figures are a straight line."""
    for (small, a, _), (large, b, _) in pairwise(rows):
        more = large.objects - small.objects
        if more > 0:
            beyond = (b.peak - large.captured) - (a.peak - small.captured)
            print(
                f"from {small.objects / 1e6:.1f} to {large.objects / 1e6:.1f} M objects, one more costs"
                f" {(b.cpu - a.cpu) / more * 1e9:.0f} ns of CPU and {beyond / more:.0f} B beyond the capture"
            )


def _print_ratios(name: str, costs: Mapping[str, Sequence[tuple[Subject, Cost, list[Cost]]]]) -> None:
    """Print how many times as much a peer took, pair by pair."""
    print()
    for (what, ours, us), (_, theirs, them) in zip(costs["heldby"], costs.get(name, ()), strict=False):
        wall = sorted(b.wall / a.wall for a, b in zip(us, them, strict=True))
        cpu = sorted(b.cpu / a.cpu for a, b in zip(us, them, strict=True))
        print(
            f"{name} / heldby at {what.objects / 1e6:.1f} M objects: wall {median(wall):.1f} ({wall[0]:.1f} to"
            f" {wall[-1]:.1f}), CPU {median(cpu):.1f} ({cpu[0]:.1f} to {cpu[-1]:.1f}),"
            f" peak memory {theirs.peak / ours.peak:.1f}"
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("millions", nargs="*", type=float, default=[1, 5, 10, 20])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--core",
        choices=("heldby", "gcore"),
        default="heldby",
        help="what wrote the core that all tools read",
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where cores are kept and found again")
    parser.add_argument("--go", default="1.26.6", help="the release that builds the program")
    parser.add_argument("--grf", type=_executable, metavar="PATH", help="goref's command, installed by you")
    parser.add_argument("--viewcore", type=_executable, metavar="PATH", help="installed by you")
    parser.add_argument("--peer-limit", type=float, default=20, help="millions of objects that peers get")
    return parser.parse_args()


def _executable(text: str) -> Path:
    found = shutil.which(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text} is no executable")
    return Path(found).absolute()


if __name__ == "__main__":
    main()
