"""Compiling kernels in a second process while the first run ever does its work.

The first run on a machine compiles every kernel, one after the other: Numba compiles under one lock. A second
process fills the cache that both share, in an order of its own (`ahead_of_a_run`); whoever needs a kernel that
the other one is compiling waits for it (`heldby.jit`). ``kernel_signatures.json`` says with which arguments each
kernel is called, in the order of a run; ``tools/record_kernels.py`` writes it and a test compares it with a run.
Where it is out of date, the first run takes longer and nothing else changes. Few need any of this: a wheel brings
the kernels along (`heldby.shipping`).
"""

from __future__ import annotations

import contextlib
import gc
import json
import subprocess
import sys
from importlib import import_module, resources
from typing import Any, Final

from heldby.jit import Kernel
from heldby.jit.signature import Kind, decoded

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


def listed_kernels(*parts: str) -> list[dict[str, Any]]:
    """Return the kernels of the list: of the first ``run``, of further ``questions``, or of both."""
    listed = json.loads(resources.files("heldby").joinpath(_FILE).read_text("utf-8"))
    return [entry for part in parts or ("run", "questions") for entry in listed[part]]


def kernel_of(entry: dict[str, Any]) -> tuple[Kernel, tuple[Kind, ...]]:
    """Return the kernel that an entry of the list speaks of, and the kinds of its arguments.

    Raises:
        ImportError, AttributeError: it is no longer there.
    """
    kernel: Kernel = getattr(import_module(entry["module"]), entry["kernel"])
    return kernel, tuple(decoded(argument) for argument in entry["arguments"])


def compile_ahead() -> None:
    """Compile the kernels of the list; what cannot be compiled is left to the run."""
    collect_rarely()
    for entry in ahead_of_a_run(listed_kernels("run")):
        with contextlib.suppress(Exception):  # another Numba, a kernel that was renamed
            kernel, kinds = kernel_of(entry)
            kernel.compiled(kinds)


if __name__ == "__main__":
    compile_ahead()
