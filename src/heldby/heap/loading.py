"""From a core to a `Heap`, step by step; each step needs only those before it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heldby.golang.code.variables import Variables
from heldby.golang.functions.functions import FunctionTable
from heldby.golang.goroutines.goroutine_list import find_goroutines
from heldby.golang.goroutines.goroutines import Goroutines, read_goroutines
from heldby.golang.goroutines.stacks import read_stacks
from heldby.golang.layouts.layout import is_newer
from heldby.golang.objects.objects import read_objects
from heldby.golang.objects.references import read_references
from heldby.golang.objects.spans import read_spans
from heldby.golang.objects.specials import read_specials
from heldby.golang.release_checks import caveat, check_heap
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.types.types import TypeTable
from heldby.golang.typing.object_types import type_objects
from heldby.graph.deferral import defer_ways
from heldby.heap.allocation_profile import allocation_profile
from heldby.heap.assembly import assemble_graph
from heldby.heap.code_knowledge import CodeKnowledge, read_code
from heldby.heap.debug_info import DebugInfo, read_debug_info
from heldby.heap.global_roots import (
    add_global_roots,
    debug_variables,
    is_static,
    scanned_words,
    symbol_variables,
    with_nameless,
    with_types_from_code,
)
from heldby.heap.goroutine_roots import add_goroutine_roots
from heldby.heap.heap import Heap
from heldby.heap.losses import losses
from heldby.heap.naming import Naming, root_slots
from heldby.heap.process import Process, assemble_process
from heldby.heap.roots import RootBuilder
from heldby.heap.special_roots import add_special_roots
from heldby.heap.static_objects import with_static_objects, without_temporaries
from heldby.memory.core_file import CoreFile
from heldby.progress import QUIET, Progress


def load_heap(
    core: CoreFile, *, exe: Path | None = None, symbols: Path | None = None, progress: Progress = QUIET
) -> Heap:
    """Return the heap of the process in `core`.

    Args:
        core: the core or capture.
        exe: the executable, where the core does not carry it.
        symbols: an unstripped build of the same source, for names that the executable lacks.
        progress: told of each phase.

    Raises:
        MissingData, FormatError: the core lacks what the runtime needs, or is not what it must be.
    """
    caveats: list[str] = []
    with progress.phase("finding the Go runtime"):
        process = assemble_process(core, exe=exe, symbols=symbols)
    with progress.phase("reading spans and objects"):
        spans = read_spans(process.runtime)
        objects = read_objects(process.runtime, spans)
    runtime = process.runtime
    with progress.phase("reading references"):
        references = read_references(runtime, objects)
        specials = read_specials(runtime, objects)
    with progress.phase("reading roots"):
        types = TypeTable.read(runtime)
        debug = read_debug_info(process, types, caveats)
        functions = FunctionTable(runtime)
        code = read_code(runtime, functions, types, caveats) if debug is None else None
        builder = RootBuilder.empty()
        addrs, values, missing = scanned_words(runtime)
        variables = _variables(process, types, debug, code, (addrs, values), objects.find(values) != 0)
        add_global_roots(builder, objects, variables, addrs, values)
        add_special_roots(builder, runtime, objects, references, specials)
        goroutines = read_goroutines(runtime, find_goroutines(runtime, objects))
        stacks = read_stacks(runtime, functions, goroutines, core.threads)
        if is_newer(runtime.version):
            check_heap(runtime.layout, objects, references, stacks)
            caveats.append(caveat(runtime.version))
        add_goroutine_roots(builder, objects, functions, goroutines, stacks, debug)
        roots = builder.build()
    with progress.phase("reading the memory profile"):
        profile = allocation_profile(runtime, functions, specials, code)
    with progress.phase("joining objects and roots"):
        graph, words = assemble_graph(references, roots)
        references = replace(
            references, offsets=graph.offsets[: len(objects) + 2], targets=graph.targets, words=words
        )
        core.unmap_pages()  # typing looks at the first words of some objects only
    with progress.phase("typing objects"):
        object_types = type_objects(
            runtime,
            types,
            objects,
            references,
            functions,
            root_slots(roots),
            debug.captures if debug is not None else lambda _entry: (),
            specials,
        )
        # All else is arrays; what is looked at again (a few strings) is mapped again.
        core.unmap_pages()
        naming = Naming(objects, references, roots, object_types)
    with progress.phase("setting the runtime's own ways aside"):
        internal = np.zeros(graph.node_count, np.uint8)
        internal[: len(objects) + 1] = naming.is_runtime_internal()
        firm = np.flatnonzero(~roots.deferred).astype(np.uint32) + np.uint32(len(objects) + 1)
        deferred = defer_ways(graph, firm, internal, naming.processors())
    lost = [f"{missing:,} bytes of global variables are not in the capture"] if missing else []
    lost += losses(objects, references, specials)
    # A root that a stack would have had is missing: what only it holds counts as garbage.
    lost += [f"{name}: {count:,}" for name, count in stacks.unknowns.items()]
    return Heap(
        process=process,
        objects=objects,
        graph=graph,
        words=words,
        roots=roots,
        variables=variables,
        code=code,
        specials=specials,
        profile=profile,
        deferred=deferred,
        naming=naming,
        goroutine_count=_alive(runtime, goroutines),
        caveats=[*process.caveats, *caveats, *lost],
        losses=[*process.losses, *lost],
    )


def _alive(runtime: Runtime, goroutines: Goroutines) -> int | None:
    if not len(goroutines):
        return None
    names = ("runtime._Gidle", "runtime._Gdead", "runtime._Gdeadextra")
    gone = [runtime.layout.const(name) for name in names if runtime.layout.has_const(name)]
    return int((~np.isin(goroutines.status, gone)).sum())


def _variables(
    process: Process,
    types: TypeTable,
    debug: DebugInfo | None,
    code: CodeKnowledge | None,
    words: tuple[NDArray[np.uint64], NDArray[np.uint64]],
    in_use: NDArray[np.bool_],
) -> Variables:
    """Return the variables that hold the pointer words `words` (addresses and values).

    Names are needed for the words that point into the heap, `in_use`; the others lead to static values.
    """
    addrs, values = words
    if debug is not None:
        known = debug_variables(process, debug)
    else:
        known = symbol_variables(process)
        if code is not None:
            known = with_types_from_code(known, code)
    known = without_temporaries(known)
    if code is not None:
        # Without names from debug information a variable may be known by its code alone, and what it points
        # to by nothing but that pointer.
        static = is_static(process.runtime, values)
        code = code.with_static_values(values[static], addrs[static])
        known = with_nameless(process.runtime, known, addrs[static], code)
    known = with_static_objects(known, types, addrs, values, addrs[in_use])
    return with_nameless(process.runtime, known, addrs[in_use], code)
