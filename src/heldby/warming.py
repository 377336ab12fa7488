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
from collections.abc import Iterator
from importlib import import_module, resources
from pathlib import Path
from typing import Any, Final

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
            kernel.compile(tuple(_decoded(argument) for argument in entry["arguments"]))


def record(paths: list[str]) -> list[dict[str, Any]]:
    """Analyse cores and return the kernels that were compiled, in order; needs an empty cache."""
    import heldby
    from heldby.analysis import answer_of

    kernels: list[dict[str, Any]] = []
    for path in paths:
        listed: dict[str, dict[str, Any]] = {}
        with _watched(listed):
            answer_of(heldby.open(path, cache=False).heap)
        # What only another kind of core needs reads its executable, at the beginning of a run.
        kernels = list(listed.values()) + kernels
    return kernels


@contextlib.contextmanager
def _watched(listed: dict[str, dict[str, Any]]) -> Iterator[None]:
    from numba.core import event

    depth = 0

    class Listener(event.Listener):  # type: ignore[misc]
        def on_start(self, event: Any) -> None:
            nonlocal depth
            function = event.data["dispatcher"].py_func
            if depth == 0:  # kernels that are compiled into others have no cache of their own
                arguments = [_encoded(argument) for argument in event.data["args"]]
                entry = {"module": function.__module__, "kernel": function.__name__, "arguments": arguments}
                listed.setdefault(json.dumps(entry), entry)
            depth += 1

        def on_end(self, event: Any) -> None:  # noqa: ARG002
            nonlocal depth
            depth -= 1

    with event.install_listener("numba:compile", Listener()):
        yield


def _encoded(argument: Any) -> Any:
    """Return a Numba type as plain JSON: a scalar's name, an array's facts, or a named tuple's fields."""
    from numba import types

    if isinstance(argument, types.Array):
        return [str(argument.dtype), argument.ndim, argument.layout, argument.mutable]
    if isinstance(argument, types.BaseNamedTuple):
        source = argument.instance_class
        fields = [_encoded(field) for field in argument]
        return {"tuple": [source.__module__, source.__name__], "fields": fields}
    return str(argument)


def _decoded(encoded: Any) -> Any:
    """Return the Numba type of what `_encoded` wrote."""
    from numba import types

    if isinstance(encoded, list):
        dtype, dimensions, layout, mutable = encoded
        return types.Array(getattr(types, dtype), dimensions, layout, readonly=not mutable)
    if isinstance(encoded, dict):
        module, name = encoded["tuple"]
        source = getattr(import_module(module), name)
        fields = [_decoded(field) for field in encoded["fields"]]
        if len({str(field) for field in fields}) == 1:
            return types.NamedUniTuple(fields[0], len(fields), source)
        return types.NamedTuple(fields, source)
    return getattr(types, "boolean" if encoded == "bool" else encoded)


def main(paths: list[str]) -> None:
    """Compile ahead; with paths of cores, write the list anew instead."""
    if not paths:
        compile_ahead()
        return
    lines = ",\n".join(json.dumps(entry) for entry in record(paths))
    (Path(__file__).parent / _FILE).write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main(sys.argv[1:])
