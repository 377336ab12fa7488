"""Captures a program and reads its stacks: what the tests of functions and stacks look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heldby.capture.process import capture_process
from heldby.golang.functions.functions import FunctionTable
from heldby.golang.goroutines.goroutine_list import find_goroutines
from heldby.golang.goroutines.goroutines import Goroutines, read_goroutines
from heldby.golang.goroutines.stacks import RootKind, Stacks, read_stacks
from heldby.golang.objects.objects import read_objects
from heldby.golang.objects.spans import read_spans
from heldby.golang.runtime.runtime import Runtime
from heldby.heap.process import assemble_process
from heldby.memory.core_file import CoreFile
from tests.support.process import Running, running

PROGRAMS = Path(__file__).resolve().parents[1] / "golang" / "programs"


@dataclass(frozen=True)
class Snapshot:
    """One capture of a program whose ready line names the addresses of its objects."""

    core: CoreFile
    runtime: Runtime
    functions: FunctionTable
    goroutines: Goroutines
    stacks: Stacks
    addresses: Mapping[str, int]

    def with_function(self, function: str) -> list[int]:
        """Return the goroutines that have a frame of `function`."""
        frames = self.stacks.frames
        rows = np.flatnonzero(frames.function == self.functions.named(function))
        return sorted(set(frames.goroutine[rows].tolist()))

    def only(self, function: str) -> int:
        """Return the one goroutine that has a frame of `function`."""
        (goroutine,) = self.with_function(function)
        return goroutine

    def functions_of(self, goroutine: int) -> list[str]:
        """Return the functions of a goroutine's physical frames, innermost first."""
        frames = self.stacks.frames
        rows = range(frames.first[goroutine], frames.first[goroutine + 1])
        return [self.functions.name(int(frames.function[row])) for row in rows]

    def roots_to(self, name: str) -> set[tuple[int, str, RootKind]]:
        """Return goroutine, function ("" without a frame) and kind of each root that points at an object."""
        roots, frames = self.stacks.roots, self.stacks.frames
        found = set()
        for row in np.flatnonzero(roots.value == self.addresses[name]):
            frame = int(roots.frame[row])
            function = self.functions.name(int(frames.function[frame])) if frame >= 0 else ""
            found.add((int(roots.goroutine[row]), function, RootKind(int(roots.kind[row]))))
        return found

    def values(self, goroutine: int, kind: RootKind) -> list[int]:
        """Return the values of a goroutine's roots of one kind."""
        roots = self.stacks.roots
        chosen = (roots.goroutine == goroutine) & (roots.kind == kind)
        return [int(value) for value in roots.value[chosen]]

    def stack_words(self, goroutine: int) -> list[int]:
        """Return the words of a goroutine's stack that its frames cover."""
        frames, first = self.stacks.frames, self.stacks.frames.first
        low = int(frames.sp[first[goroutine]])
        high = int(self.goroutines.stack_hi[goroutine])
        return [int(word) for word in self.runtime.image.words(low, (high - low) // 8)]


def snapshot(target: Running) -> Snapshot:
    """Capture a running program and read its stacks."""
    core = capture_process(target.pid, None).core
    addresses = {name: int(text, 16) for name, text in target.ready.get("addresses", {}).items()}
    return read_snapshot(core, addresses)


def read_snapshot(core: CoreFile, addresses: Mapping[str, int], *, exe: Path | None = None) -> Snapshot:
    """Read the stacks in a core."""
    runtime = assemble_process(core, exe=exe).runtime
    objects = read_objects(runtime, read_spans(runtime))
    functions = FunctionTable(runtime)
    goroutines = read_goroutines(runtime, find_goroutines(runtime, objects))
    stacks = read_stacks(runtime, functions, goroutines, core.threads)
    return Snapshot(core, runtime, functions, goroutines, stacks, addresses)


def run_and_snapshot(
    program: Path, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Snapshot:
    """Start a program, wait until it is ready, capture it once and end it."""
    with running(program, arguments, environment=environment) as target:
        return snapshot(target)
