"""Seconds of each question about a capture that was analysed before, and what keeping the analysis costs.

    .venv/bin/python benchmarks/drilldown.py [MILLIONS ...] [--rounds 3] [--keep FOLDER] [--go 1.26.6]

Runs `programs/orders` at 10 million objects unless told otherwise, captures it, asks the first question (which
analyses and keeps), and then each command below as a process of its own: wall and CPU seconds, Python's start
included, and peak resident memory, as the kernel counts them (wait4). The answers are thrown away; the files are
in the page cache; kernels are compiled. The median of the rounds counts. A command that this heldby does not have
is left out and said.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.analyse import (  # noqa: E402
    HELDBY,
    MIB,
    Cost,
    Subject,
    load,
    middle,
    print_machine,
    row,
    run,
    subject,
)
from tests.support.toolchains import toolchain  # noqa: E402

TYPE, FIELD = "main.order", "main.store"

#: What is measured: a name, and the arguments behind the capture; ADDRESS is an object of TYPE.
QUESTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("explain", ()),
    ("top", ("--by", "type")),
    ("top", ("--by", "package")),
    *(("top", ("--by", by)) for by in ("module", "holder", "root", "size-class", "goroutine")),
    ("top", ("--by", "type", "--holder", FIELD)),
    ("tree", ()),
    ("tree", (FIELD,)),
    ("paths", (TYPE,)),
    ("paths", (TYPE, "--strong")),
    ("paths", ("ADDRESS",)),
    ("paths", ("ADDRESS", "--all-roots")),
    ("refs", ("ADDRESS", "--in")),
    ("refs", ("ADDRESS", "--out")),
    ("object", ("ADDRESS",)),
    ("goroutines", ()),
    ("what-if", ("--without", FIELD)),
    ("rss", ()),
    ("size-classes", ()),
    ("find", ("--type", TYPE)),
    ("find", ("--string", "order/10831")),
    ("sql", ("SELECT count(*) FROM objects",)),
    ("sql", ("SELECT type, count(*), sum(bytes) FROM objects WHERE live GROUP BY ALL ORDER BY 3 DESC",)),
    ("sql", ("SELECT * FROM types ORDER BY bytes DESC",)),
    ("sql", ("SELECT type, max(retained_bytes) FROM objects GROUP BY ALL ORDER BY 2 DESC",)),
    ("sql", ("SELECT holder, sum(bytes) FROM objects GROUP BY ALL ORDER BY 2 DESC",)),
    ("sql", ("SELECT field, count(*) FROM edges GROUP BY ALL ORDER BY 2 DESC",)),
    ("sql", (f"SELECT printf('0x%x', address) FROM objects WHERE type = '{TYPE}'",)),
)


def main() -> None:
    """Measure, and print a Markdown table for each size."""
    options = _options()
    go = toolchain(options.go)
    print_machine({}, go)
    with tempfile.TemporaryDirectory() as temporary:
        for millions in options.millions:
            measure(subject(millions, options.keep or Path(temporary), go, "heldby"), options.rounds)


def measure(what: Subject, rounds: int) -> None:
    """Print what the first question costs, what is kept, and what each further question costs."""
    kept = what.core.with_name(what.core.name + ".heldby")
    print(f"{what.objects:,} objects, capture of {what.captured / MIB:,.0f} MiB, load {load()}\n")
    row("question", "wall s", "CPU s", "peak MiB", "beyond the capture, B/object")
    row("---", *["---:"] * 4)
    fresh = [ask(what, "explain", "--no-cache") for _ in range(rounds)]
    report(what, "explain --no-cache", fresh)
    first = []
    for _ in range(rounds):
        shutil.rmtree(kept, ignore_errors=True)
        first.append(ask(what, "explain"))
    report(what, "explain, the first time (keeps the analysis)", first)
    address = an_address(what)
    known = subprocess.run([HELDBY, "--help"], capture_output=True, text=True, check=True).stdout
    missing = set()
    for name, arguments in QUESTIONS:
        if f"\n  {name} " not in known:
            missing.add(name)
            continue
        words = [address if word == "ADDRESS" else word for word in arguments]
        costs = [ask(what, name, *words) for _ in range(rounds)]
        report(
            what, " ".join((name, *(word if len(word) < 60 else word[:57] + "..." for word in words))), costs
        )
    size = sum(path.stat().st_size for path in kept.iterdir())
    print(f"\nkept: {size / MIB:,.0f} MiB, {size / what.objects:.1f} B/object")
    if missing:
        print(f"this heldby has no {', '.join(sorted(missing))}")
    print()


def ask(what: Subject, name: str, *arguments: str) -> Cost:
    """Run one command on the capture to its end."""
    return run([HELDBY, name, what.core, *arguments, "-q"])


def an_address(what: Subject) -> str:
    """Return the address of an object of TYPE."""
    query = f"SELECT min(address) AS address FROM objects WHERE type = '{TYPE}'"
    said = subprocess.check_output([HELDBY, "sql", what.core, query, "--format", "json", "-q"])
    return str(json.loads(said)["rows"][0]["address"])


def report(what: Subject, question: str, costs: Sequence[Cost]) -> None:
    """Print a row."""
    cost = middle(costs)
    beyond = (cost.peak - what.captured) / what.objects
    row(f"`{question}`", f"{cost.wall:.2f}", f"{cost.cpu:.2f}", f"{cost.peak / MIB:,.0f}", f"{beyond:.0f}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("millions", nargs="*", type=float, default=[10])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where cores are kept and found again")
    parser.add_argument("--go", default="1.26.6", help="the release that builds the program")
    return parser.parse_args()


if __name__ == "__main__":
    main()
