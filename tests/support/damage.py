"""Damages a capture in many ways and asks heldby about each; run as a program, since a crash must be seen.

``python -m tests.support.damage CAPTURE FIRST COUNT JOURNAL`` tries the damages FIRST, FIRST + 1 ... of one
capture. Before each it writes the number and what it does to JOURNAL, afterwards the outcome; so whoever
started it knows what it died of or hangs in.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

import heldby
from heldby.analysis.answering import answer_of
from heldby.analysis.drilldown import goroutines, paths, references, top, tree, what_if
from heldby.analysis.exports.exporting import heap_profile_of, holder_profile_of, joined_profile_of
from heldby.binary.executable import parse_executable
from heldby.cli.run import output_console
from heldby.errors import HeldbyError, InternalError, MissingData
from heldby.golang.goroutines.goroutine_list import find_goroutines
from heldby.heap import Heap
from heldby.heap.loading import load_heap
from heldby.memory.core_file import PROGRAM_HEADER, CoreFile, parse_core
from heldby.render.first_screen import print_first_screen
from heldby.render.json_output import to_json
from heldby.render.table_formats import table_to_json
from heldby.render.table_output import table_text
from tests.support.process import end_with_us

MOST_SECONDS = 60
MOST_BYTES = 3 << 30
HUGE = (1 << 20, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 40, (1 << 47) - 1, 1 << 47, 1 << 62, 1 << 63)
_PATH = Path("damaged.core")


@dataclass
class Capture:
    """A healthy capture, and where in the file what lies that damage is worth the most in.

    Attributes:
        data: the file.
        words: file offsets of 64-bit words by the name of the structure that they belong to.
    """

    data: NDArray[np.uint8]
    core: CoreFile = field(init=False)
    heap: Heap = field(init=False)
    words: dict[str, NDArray[np.int64]] = field(init=False)

    def __post_init__(self) -> None:
        self.core = parse_core(self.data, _PATH)
        self.heap = load_heap(self.core)
        self.words = {name: at for name, at in self._structures() if at.size}

    def offset(self, addr: int) -> int | None:
        """Return where in the file the byte at an address lies; None if it is zero or not captured."""
        image = self.heap.process.runtime.image
        segment = image.segment_at(addr)
        if segment is None or segment.buffer < 0:
            return None
        return segment.offset + addr - segment.start + (self.program if segment.buffer == 1 else 0)

    @cached_property
    def program(self) -> int:
        """Where the program's file starts in the capture."""
        assert self.core.note is not None
        return int(self.core.note["executable"]["offset"])

    def write(self, data: NDArray[np.uint8], addr: int, value: int) -> None:
        """Write a 64-bit word at an address of the process into a copy of the file."""
        at = self.offset(addr)
        assert at is not None, hex(addr)
        data[at : at + 8] = np.frombuffer((value % (1 << 64)).to_bytes(8, "little"), np.uint8)

    def span_of_words(self, addr: int, size: int) -> NDArray[np.int64]:
        """Return the file offsets of the words of an address range, as far as they are in the file."""
        found = (self.offset(at) for at in range(addr & ~7, addr + size, 8))
        return np.array([at for at in found if at is not None], np.int64)

    def _structures(self) -> Iterator[tuple[str, NDArray[np.int64]]]:
        yield "ELF header", np.arange(0, 64, 8)
        (table,) = np.frombuffer(self.data[32:40], np.uint64).astype(int)
        headers = int.from_bytes(self.data[56:58].tobytes(), "little")
        yield "program headers", np.arange(table, table + headers * PROGRAM_HEADER.itemsize, 8)
        rows = np.frombuffer(self.data[table : table + headers * 56].tobytes(), PROGRAM_HEADER)
        for row in rows[rows["type"] == 4]:
            yield "notes", np.arange(int(row["offset"]), int(row["offset"]) + int(row["filesz"]), 8)
        yield from self._program_structures()
        yield from self._runtime_structures()
        yield from self._heap_structures()

    def _program_structures(self) -> Iterator[tuple[str, NDArray[np.int64]]]:
        assert self.core.executable is not None
        executable = parse_executable(self.core.executable)
        yield "program's ELF header", np.arange(self.program, self.program + 1024, 8)
        sections = int.from_bytes(executable.data[40:48].tobytes(), "little")
        yield (
            "program's section headers",
            self.program + np.arange(sections, executable.data.size - 64, 8)[:300],
        )
        for section in executable.sections:
            name = section.name
            if section.size and section.offset + section.size <= executable.data.size:
                end = min(section.offset + section.size, section.offset + (1 << 21))
                yield f"section {name}", self.program + np.arange(section.offset, end, 8)

    def _runtime_structures(self) -> Iterator[tuple[str, NDArray[np.int64]]]:
        runtime = self.heap.process.runtime
        layout, image = runtime.layout, runtime.image
        module = runtime.modules[0]
        yield "moduledata", self.span_of_words(module.addr, layout.size("runtime.moduledata"))
        yield "function table", self.span_of_words(module.slice("ftab")[0], 4096)
        yield "function table header", self.span_of_words(module.word("pcHeader"), 72)
        low, high = module.range("types", "etypes")
        yield "type section", self.span_of_words(low, min(high - low, 1 << 18))
        yield "mheap's start", self.span_of_words(runtime.mheap, 0x200)
        at = runtime.mheap + layout.offset("runtime.mheap", "allspans")
        pointer, count = image.u64(at), image.u64(at + 8)
        yield "allspans", self.span_of_words(pointer, count * 8)
        for name in ("pagesInUse", "sweepgen", "allspans"):
            start = runtime.mheap + layout.offset("runtime.mheap", name)
            yield f"mheap.{name}", self.span_of_words(start, 16 if name == "allspans" else 8)
        spans = image.words(pointer, count)
        size = layout.size("runtime.mspan")
        yield "mspans", np.concatenate([self.span_of_words(int(span), size) for span in spans[:400]])
        g = find_goroutines(runtime, self.heap.objects)
        size = layout.size("runtime.g")
        yield "goroutines", np.concatenate([self.span_of_words(int(at), size) for at in g[:100]])
        parts = []
        for at in g[:100].tolist():
            stack_high = image.u64(at + 8)
            parts.append(self.span_of_words(max(stack_high - 2048, image.u64(at)), 2048))
        yield "stacks", np.concatenate(parts)
        specials = self.heap.specials
        yield "specials", np.concatenate([self.span_of_words(at, 56) for at in specials.addr[:200].tolist()])
        buckets = self.heap.profile.address[:200].tolist()
        if buckets:
            size = layout.size("runtime.bucket") + 32 * 8 + layout.size("runtime.memRecord")
            yield "profile buckets", np.concatenate([self.span_of_words(at, size) for at in buckets])
        table = self.heap.objects.spans
        bits = np.concatenate([table.alloc_bits, table.mark_bits])
        yield "bitmaps", np.concatenate([self.span_of_words(at, 64) for at in bits[:200].tolist()])
        ends = (table.base + table.pages * np.uint64(8192))[:200]
        yield "ends of spans", np.concatenate([self.span_of_words(end - 256, 256) for end in ends.tolist()])

    def _heap_structures(self) -> Iterator[tuple[str, NDArray[np.int64]]]:
        objects, naming = self.heap.objects, self.heap.naming
        by_kind: dict[str, list[int]] = {}
        for number in np.random.default_rng(1).permutation(len(objects))[:4000] + 1:
            name = naming.type_name(naming.type_at(int(number)))
            kind = "objects"
            for mark in ("map", "chan", "table", "runtime.", "unknown", "[]", "func"):
                if mark in name:
                    kind = f"objects: {mark}"
                    break
            by_kind.setdefault(kind, []).append(int(number))
        sizes = objects.sizes()
        for kind, numbers in sorted(by_kind.items()):
            yield (
                kind,
                np.concatenate(
                    [self.span_of_words(int(objects.addr[n]), min(int(sizes[n]), 256)) for n in numbers[:300]]
                ),
            )


class Damage:
    """One damaged copy of a capture; the number decides everything."""

    def __init__(self, capture: Capture, number: int) -> None:
        self.capture = capture
        self.random = random.Random(number)
        self.data = capture.data.copy()
        self.steps: list[Any] = []
        self.apply()

    def apply(self) -> None:
        """Do what the number says."""
        kind = self.random.choices(
            ("words", "burst", "cut", "page", "segment", "swap"), (70, 10, 6, 6, 4, 4)
        )[0]
        if kind == "words":
            for _ in range(self.random.choice((1, 1, 2, 4))):
                self.poke(self.pick())
        elif kind == "burst":
            name = self.pick()
            for _ in range(self.random.choice((20, 200))):
                self.poke(name)
        elif kind == "cut":
            end = self.random.choice((self.random.randrange(self.data.size), self.random.randrange(8192)))
            self.steps.append(["cut", end])
            self.data = self.data[:end].copy()
        elif kind == "page":
            at = int(self.random.choice(self.capture.words[self.pick()])) & ~4095
            self.steps.append(["zero page", at])
            self.data[at : at + 4096] = 0
        elif kind == "swap":
            first, second = (int(self.random.choice(self.capture.words[self.pick()])) & ~4095 for _ in "ab")
            size = min(4096, self.data.size - max(first, second))
            self.steps.append(["copy page", first, second])
            self.data[first : first + size] = self.data[second : second + size].copy()
        else:
            self.drop_segment()

    def pick(self) -> str:
        """Choose a structure."""
        return self.random.choice(sorted(self.capture.words))

    def poke(self, name: str) -> None:
        """Change one word of a structure."""
        chance = self.random
        places = self.capture.words[name]
        at = int(places[chance.randrange(places.size)])
        if at + 8 > self.data.size:
            return
        before = int.from_bytes(self.data[at : at + 8].tobytes(), "little")
        other = int(places[chance.randrange(places.size)])
        objects = self.capture.heap.objects.addr
        after = chance.choice(
            (
                lambda: before ^ 1 << chance.randrange(64),
                lambda: before ^ 1 << chance.randrange(16),
                lambda: before & ~(255 << (at8 := 8 * chance.randrange(8))) | chance.randrange(256) << at8,
                lambda: 0,
                lambda: (1 << 64) - 1 - chance.randrange(64),
                lambda: chance.randrange(70),
                lambda: chance.choice(HUGE) + chance.choice((-8, -1, 0, 1, 8)),
                lambda: before + chance.choice((-4096, -8, -1, 1, 8, 64, 4096)),
                lambda: before | (1 << 32) - 1,
                lambda: before & ~0xFFFFFFFF | 0x7FFFFFFF,
                lambda: int.from_bytes(self.data[other : other + 8].tobytes(), "little"),
                lambda: int(objects[chance.randrange(1, objects.size)]) + chance.choice((0, 0, 8, 3)),
                lambda: chance.getrandbits(64),
            )
        )() % (1 << 64)
        self.steps.append([name, at, hex(before), hex(after)])
        self.data[at : at + 8] = np.frombuffer(after.to_bytes(8, "little"), np.uint8)

    def drop_segment(self) -> None:
        """Make some program headers ones of another kind, as if their memory had not been written."""
        places = self.capture.words["program headers"]
        first = int(places[0])
        for _ in range(self.random.choice((1, 1, 5))):
            row = self.random.randrange(places.size // 7)
            self.steps.append(["drop segment", row])
            self.data[first + 56 * row] = 0


def ask_further(heap: Heap) -> None:
    """Put the questions that follow the first screen, and print what they answer."""
    tables = [top.top(heap, by, limit=5) for by in top.DIMENSIONS]
    tables.append(tree.merged_tree(heap, depth=4, most=20))
    tables.append(tree.object_tree(heap, depth=2))
    tables.append(goroutines.goroutines(goroutines.read_goroutine_stacks(heap), limit=5))
    live = np.flatnonzero(heap.live)
    if live.size:
        addr = int(heap.objects.addr[live[live.size // 2]])
        tables += [references.references(heap, addr, into=into) for into in (True, False)]
        tables += [paths.paths(heap, hex(addr), strong=strong) for strong in (False, True)]
        tables.append(paths.paths_of_all_roots(heap, hex(addr)))
    named = next((str(path) for path in tables[len(top.DIMENSIONS)]["path"].to_list() if path), None)
    if named is not None:
        tables.append(what_if.what_if(heap, [named]))
    for table in tables:
        table_text(table)
        table_to_json(table)


def ask(path: Path) -> str:
    """Put every question to a file that the commands put; return ``answer`` or the name of our error."""
    try:
        heap = heldby.open(path, cache=False).heap
        answer = answer_of(heap)
        json.loads(to_json(answer, limit=None))
        print_first_screen(output_console(io.StringIO()), answer, limit=None, all_caveats=True)
        holder_profile_of(heap)
        for export in (heap_profile_of, joined_profile_of):
            with contextlib.suppress(MissingData):
                export(heap)
        retained = sum(row.retained_bytes for row in answer.holders)
        ask_further(heap)
        if not retained <= (answer.heap.live_bytes or 0) <= (answer.heap.object_bytes or 0):
            return f"BAD sums: {retained} retained, {answer.heap.live_bytes} live"
    except InternalError:
        return "BAD " + traceback.format_exc()
    except HeldbyError as error:
        if not error.message or not (error.cause or error.next_step):
            return f"BAD advice: {error!r} without a cause or a next step"
        return type(error).__name__
    except Exception:
        return "BAD " + traceback.format_exc()
    return "answer"


def examine(path: Path) -> str:
    """Like `ask`; too much time or memory, and warnings, which would reach the screen, are bad as well."""
    start = time.monotonic()
    Path("/proc/self/clear_refs").write_text("5")  # the peak of resident memory starts anew
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome = ask(path)
    seconds = time.monotonic() - start
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) << 10
    if peak > MOST_BYTES:
        return f"BAD memory: {peak:,} bytes ({outcome})"
    if seconds > MOST_SECONDS:
        return f"BAD time: {seconds:.0f} s ({outcome})"
    return outcome


def main(arguments: list[str]) -> None:
    """Try a stretch of damages of one capture, or (``whole JOURNAL FILE...``) files as they are."""
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
    if arguments[0] == "whole":
        with Path(arguments[1]).open("a") as file:
            for path in arguments[2:]:
                _try(file, path, None, Path(path))
        return
    path, first, count, journal = arguments
    capture = Capture(np.fromfile(path, np.uint8))
    damaged = Path(f"{journal}.core")
    with Path(journal).open("a") as file:
        for number in range(int(first), int(first) + int(count)):
            damage = Damage(capture, number)
            damage.data.tofile(damaged)
            _try(file, number, damage.steps[:12], damaged)


def _try(journal: TextIO, name: int | str, steps: list[Any] | None, path: Path) -> None:
    for entry in ([name, steps], None):
        journal.write(json.dumps(examine(path) if entry is None else entry) + "\n")
        journal.flush()


@dataclass(frozen=True)
class Outcome:
    """What came of one file: ``answer``, the name of our error, or what was bad."""

    name: int | str
    steps: Any
    result: str

    @property
    def bad(self) -> bool:
        """Whether heldby must not answer so."""
        return self.result.startswith("BAD")


def watch(journal: Path, arguments: Sequence[str], *, checked: Path | None = None) -> list[Outcome]:
    """Run this module in a process of its own until it ends, dies or hangs, and return what came of each.

    Args:
        journal: where it writes; its last line says what it died of.
        arguments: see `main`.
        checked: a folder for machine code that checks bounds; None for the usual code.
    """
    environment = dict(os.environ)
    if checked is not None:
        environment |= {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(checked)}
    journal.touch()
    command = [sys.executable, "-m", "tests.support.damage", *arguments]
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[2],
            env=environment,
            stderr=complaints,
            preexec_fn=end_with_us,  # noqa: PLW1509
        )
        seen = time.time()
        while process.poll() is None and time.time() - max(seen, journal.stat().st_mtime) < 2 * MOST_SECONDS:
            time.sleep(0.05)
        hung = process.poll() is None
        process.kill()
        process.wait()
        complaints.seek(0)
        words = complaints.read().decode(errors="replace")[-2000:]
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    outcomes = [Outcome(lines[at][0], lines[at][1], lines[at + 1]) for at in range(0, len(lines) - 1, 2)]
    if len(lines) % 2:
        outcomes.append(
            Outcome(
                lines[-1][0],
                lines[-1][1],
                "BAD hangs" if hung else f"BAD died, {process.returncode}: {words}",
            )
        )
    elif process.returncode or hung:
        outcomes.append(Outcome(-1, None, f"BAD worker, {process.returncode}: {words}"))
    return outcomes


if __name__ == "__main__":
    main(sys.argv[1:])
