"""What joining allocation sites to holders adds to the time of an answer.

    .venv/bin/python benchmarks/sites.py [MILLIONS ...] [--rounds 3] [--rate BYTES] [--keep FOLDER] [--go 1.26.6]

Runs `programs/orders` with a memory profile (one more file imports net/http/pprof), captures it, and reads from
``heldby CORE --verbose`` how long each phase took: those of the memory profile and of the allocation sites
against all of them, in one and the same process, so that a busy machine slows both. Medians of the rounds.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.build import build  # noqa: E402
from tests.support.process import running  # noqa: E402
from tests.support.toolchains import Toolchain, toolchain  # noqa: E402

HELDBY = (sys.executable, "-m", "heldby.cli.main")
OURS = ("reading the memory profile", "allocation sites")
_PHASE = re.compile(r"^\s*(?P<amount>[\d.]+) (?P<unit>ms|s|min)  (?P<name>[^(]+?)(?:  \(.*)?$", re.MULTILINE)
_SECONDS = {"ms": 1e-3, "s": 1.0, "min": 60.0}


def profiled_orders(go: Toolchain) -> Path:
    """Return the benchmark's program, built with what reads the memory profile."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "orders"
        shutil.copytree(ROOT / "benchmarks" / "programs" / "orders", package)
        source = 'package main\n\nimport (\n\t_ "net/http/pprof"\n\t"os"\n\t"runtime"\n\t"strconv"\n)\n\n'
        source += 'func init() {\n\trate, err := strconv.Atoi(os.Getenv("RATE"))\n'
        source += "\tif err == nil {\n\t\truntime.MemProfileRate = rate\n\t}\n}\n"
        (package / "profile.go").write_text(source)
        return build(package, go)


def captured(millions: float, rate: int, folder: Path, go: Toolchain) -> Path:
    """Return a capture of the program at that size, taken now unless it is in `folder`."""
    program = profiled_orders(go)
    core = folder / f"{program.parent.name}-{millions:g}-{rate}.core"
    if not core.exists():
        arguments = [str(int(millions * 1e6))]
        with running(program, arguments, environment={"RATE": str(rate)}, timeout=600) as process:
            subprocess.run([*HELDBY, "capture", str(process.pid), "-o", core, "-q"], check=True)
    return core


def phases(core: Path) -> dict[str, float]:
    """Return the seconds of each phase of one analysis."""
    done = subprocess.run(
        [*HELDBY, core, "--no-cache", "--verbose", "--format", "json"],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    return {
        match["name"]: float(match["amount"]) * _SECONDS[match["unit"]]
        for match in _PHASE.finditer(done.stderr)
    }


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("millions", nargs="*", type=float, default=[10])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=512 << 10)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--go", default="1.26.6")
    chosen = parser.parse_args()
    print("| objects | rate | memory profile s | allocation sites s | all phases s | share |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for millions in chosen.millions:
            core = captured(millions, chosen.rate, folder, toolchain(chosen.go))
            phases(core)  # compiles, and brings the core into the page cache
            rounds = [phases(core) for _ in range(chosen.rounds)]
            profile, sites = (median(found[name] for found in rounds) for name in OURS)
            total = median(sum(found.values()) for found in rounds)
            share = median(sum(found[name] for name in OURS) / sum(found.values()) for found in rounds)
            print(
                f"| {millions:g} M | {chosen.rate:,} | {profile:.3f} | {sites:.3f} | {total:.2f} | {share:.1%} |"
            )


if __name__ == "__main__":
    main()
