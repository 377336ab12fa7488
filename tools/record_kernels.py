"""Writes ``src/heldby/kernel_signatures.json``: with which arguments each kernel is called.

    .venv/bin/python -m tools.record_kernels CORE [CORE...]

``run`` lists what the first screen compiles, in its order (by the first core; kernels that only another kind of core
needs come before), ``questions`` what the other commands compile beyond that, asked of each core: of the kept
analysis, and of a fresh one where that takes no time. Take cores of stripped and unstripped programs of several
releases, one with a memory profile among them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "src" / "heldby" / "kernel_signatures.json"
TABLES = (
    "objects",
    "types",
    "fields",
    "edges",
    "roots",
    "goroutines",
    "spans",
    "holders",
    "strings",
    "dominators",
)
_LARGE = 1 << 25
DIMENSIONS = ("type", "holder", "package", "module", "root", "size-class", "goroutine")


def main(cores: list[str]) -> None:
    """Analyse and ask with an empty cache, and write what was compiled."""
    with tempfile.TemporaryDirectory() as folder:
        # Any setting of Numba's keeps kernels that came with the package out.
        os.environ |= {"NUMBA_CACHE_DIR": folder, "NUMBA_OPT": "3"}
        run: list[dict[str, Any]] = []
        for core in cores:
            with compiling() as found:
                analyse(core)
            run = found + run
        with compiling() as questions:
            for core in cores:
                copy = Path(folder, Path(core).name)
                shutil.copy2(core, copy)
                ask_all(str(copy), Path(folder))
                copy.unlink()
    parts = {"run": run, "questions": questions}
    listed = ",\n".join(
        f'"{name}": [\n' + ",\n".join(json.dumps(entry) for entry in entries) + "\n]"
        for name, entries in parts.items()
    )
    FILE.write_text("{\n" + listed + "\n}\n")


@contextlib.contextmanager
def compiling() -> Iterator[list[dict[str, Any]]]:
    """Give the list of kernels that are compiled in the block, when it has ended."""
    from heldby.jit import watch_compilation
    from heldby.jit.signature import encoded

    found: dict[str, dict[str, Any]] = {}

    def note(kernel: Any, kinds: Sequence[Any]) -> None:
        function = kernel.function
        entry = {
            "module": function.__module__,
            "kernel": function.__name__,
            "arguments": [encoded(kind) for kind in kinds],
        }
        found[json.dumps(entry)] = entry

    entries: list[dict[str, Any]] = []
    with watch_compilation(note):
        yield entries
    entries += found.values()


def analyse(core: str) -> None:
    """Answer the first question; not by the command line, which has a second process compile, too."""
    import heldby
    from heldby.analysis.answering import answer_of

    answer_of(heldby.open(core, cache=False).heap)


def ask_all(core: str, folder: Path) -> None:
    """Ask everything of one core."""
    # A fresh analysis of a large capture takes seconds for each question; small ones tell the same.
    ways = [["--no-cache"], []] if Path(core).stat().st_size < _LARGE else [[]]
    for fresh in ways:
        answer = json.loads(ask("top", core, "--by", "type", "--limit", "5", "--format", "json", *fresh))
        types = [row["type"] for row in answer["rows"]]
        holders = json.loads(ask("top", core, "--by", "holder", "--format", "json", *fresh))["rows"]
        holder = holders[0]["path"] if holders and "path" in holders[0] else None
        for by in DIMENSIONS:
            ask("top", core, "--by", by, *fresh)
        ask("top", core, "--by", "type", "--type", types[0], "--min-size", "1K", *fresh)
        for name in ("tree", "goroutines", "rss", "size-classes", "cost", "sites"):
            ask(name, core, *fresh)
        ask("tree", core, "--objects", *fresh)
        if holder:
            ask("top", core, "--by", "type", "--holder", holder, *fresh)
            ask("tree", core, holder, *fresh)
            ask("paths", core, holder, *fresh)
            ask("what-if", core, "--without", holder, *fresh)
        for kind in types:
            ask("paths", core, kind, *fresh)
            ask("paths", core, kind, "--strong", *fresh)
            ask("find", core, "--type", kind, *fresh)
            query = f"SELECT max(address) AS a FROM objects WHERE live AND type = '{kind}'"
            (row,) = json.loads(ask("sql", core, query, "--format", "json", *fresh))["rows"]
            if row["a"]:
                address = str(row["a"])
                ask("object", core, address, *fresh)
                ask("paths", core, address, *fresh)
                ask("paths", core, address, "--all-roots", *fresh)
                ask("refs", core, address, "--in", *fresh)
                ask("refs", core, address, "--out", *fresh)
        for text in ("order", "a[bc]+d", "x" * 40):
            ask("find", core, "--string", text, *fresh)
        for table in (*TABLES, "sites", "held", "samples"):
            ask("sql", core, f"SELECT * FROM {table} LIMIT 1", *fresh)
        ask("export", core, "--pprof", str(folder / "profile.pb.gz"), "--force", *fresh)
        ask("export", core, "--pprof", str(folder / "heap.pb.gz"), "--as", "heap", "--force", *fresh)
        ask("export", core, "--parquet", str(folder / "tables"), "--strings", "--force", *fresh)


def ask(*words: str) -> str:
    """Run a command in this process and return what it printed; a core that it has no answer for is no problem."""
    from heldby.cli.main import main as heldby

    with tempfile.TemporaryFile("w+") as out, contextlib.redirect_stdout(out):
        heldby([*words, "-q"])
        out.seek(0)
        said = out.read()
    sys.stderr.write(f"{len(said):8} bytes  {' '.join(words)[:100]}\n")
    return said


if __name__ == "__main__":
    main(sys.argv[1:])
