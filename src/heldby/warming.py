"""Compiling kernels in a second process while the first run ever does its work.

The first run on a machine compiles every kernel, one after the other: Numba compiles under one lock. A second
process fills the cache that both share, in an order of its own (`ahead_of_a_run`); whoever needs a kernel that
the other one is compiling waits for it (`heldby.jit`). ``kernel_signatures.json`` says with which arguments each
kernel is called, in the order of a run; it is written by ``python -m heldby.warming CORE...`` and a test compares
it with a run. Where it is out of date, the first run takes longer and nothing else changes.
"""

from __future__ import annotations

import contextlib
import gc
import json
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module, resources
from pathlib import Path
from typing import Any, Final

from heldby.jit.signature import Kind, decoded, encoded

_FILE: Final = "kernel_signatures.json"
_FIRST_OF_TYPING: Final = "propagate"
_FIRST_AFTER_TYPING: Final = "mark_reached"


def collect_rarely() -> None:
    """Let Python look for cyclic garbage less often: compiling makes little, and a tenth of the time was spent."""
    gc.set_threshold(50_000, 50, 100)


def start_warming() -> subprocess.Popen[bytes]:
    """Start the second process; it ends by itself, and the caller ends it when the work is done."""
    return subprocess.Popen(
        [sys.executable, "-m", "heldby.warming"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def ahead_of_a_run(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the kernels in the order in which a second process serves a run best.

    First those of typing: the run comes to them when about half is compiled. Then those of later steps, from the
    last: typing is where a run works long itself. Then what is left of the first half, from its end.
    """
    names = [entry["kernel"] for entry in listed]
    first = names.index(_FIRST_OF_TYPING) if _FIRST_OF_TYPING in names else len(names)
    after = names.index(_FIRST_AFTER_TYPING) if _FIRST_AFTER_TYPING in names[first:] else len(names)
    return listed[first:after] + listed[after:][::-1] + listed[:first][::-1]


def compile_ahead() -> None:
    """Compile the kernels of the list; what cannot be compiled is left to the run."""
    collect_rarely()
    listed = json.loads(resources.files("heldby").joinpath(_FILE).read_text("utf-8"))
    for entry in ahead_of_a_run(listed):
        with contextlib.suppress(Exception):  # another Numba, a kernel that was renamed
            kernel = getattr(import_module(entry["module"]), entry["kernel"])
            kernel.compiled(tuple(decoded(argument) for argument in entry["arguments"]))


def record(paths: list[str]) -> list[dict[str, Any]]:
    """Analyse cores and return the kernels that were compiled, in order; needs an empty cache."""
    import heldby
    from heldby.analysis.answering import answer_of
    from heldby.jit import Kernel, watch_compilation

    kernels: list[dict[str, Any]] = []
    for path in paths:
        listed: dict[str, dict[str, Any]] = {}

        def compiling(kernel: Kernel, kinds: Sequence[Kind], listed: dict[str, Any] = listed) -> None:
            function = kernel.function
            entry = {
                "module": function.__module__,
                "kernel": function.__name__,
                "arguments": [encoded(kind) for kind in kinds],
            }
            listed[json.dumps(entry)] = entry

        with watch_compilation(compiling):
            answer_of(heldby.open(path, cache=False).heap)
        # What only another kind of core needs reads its executable, at the beginning of a run.
        kernels = list(listed.values()) + kernels
    return kernels


def main(paths: list[str]) -> None:
    """Compile ahead; with paths of cores, write the list anew instead."""
    if not paths:
        compile_ahead()
        return
    lines = ",\n".join(json.dumps(entry) for entry in record(paths))
    (Path(__file__).parent / _FILE).write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main(sys.argv[1:])
