"""Finalizers, cleanups and weak handles as roots, and the queues of those about to run.

runtime/mgcmark.go, markrootSpans: what an object with a finalizer refers to is live, the object itself is
not; the closures of finalizers and cleanups are live; a weak handle's box is live, its target is not.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.errors import NotCaptured
from heldby.golang.layout import Layout
from heldby.golang.objects import ObjectTable
from heldby.golang.references import References
from heldby.golang.runtime import Runtime
from heldby.golang.specials import CLEANUP, FINALIZER, WEAK_HANDLE, SpecialTable
from heldby.heap.roots import RootBuilder, RootKind

_MAX_BLOCKS: Final = 1 << 20
_FINALIZER_BYTES: Final = 40


def add_special_roots(
    builder: RootBuilder,
    runtime: Runtime,
    objects: ObjectTable,
    references: References,
    specials: SpecialTable,
) -> None:
    """Add one deferred node for each kind of special and for each queue, with all its pointers."""
    finalizers = specials.of_kind(FINALIZER)
    closures = objects.find(specials.payload[finalizers, 0])
    referents = _referents(references, specials.object[finalizers])
    _add(builder, "finalizers", np.concatenate((closures, referents)))
    cleanups = specials.of_kind(CLEANUP)
    # runtime/mcleanup.go: {fn, id} in 1.24 and 1.25, {call, fn, arg, id} from 1.26; ids are no addresses.
    words = 3 if _cleanup_has_call(runtime.layout) else 1
    _add(builder, "cleanups", objects.find(specials.payload[cleanups, :words].reshape(-1)))
    handles = specials.of_kind(WEAK_HANDLE)
    _add(builder, "weak handles", objects.find(specials.payload[handles, 0]))
    _add(builder, "finalizer queue", objects.find(_queued_finalizers(runtime)))
    _add(builder, "cleanup queue", objects.find(_queued_cleanups(runtime)))


def _add(builder: RootBuilder, name: str, targets: NDArray[np.uint32]) -> None:
    targets = np.unique(targets[targets != 0])
    if not targets.size:
        return
    node = builder.add_nodes(RootKind.SPECIAL, [name], deferred=True)
    label = builder.label("")
    builder.add_slots(
        np.full(targets.size, node, np.uint32),
        targets,
        np.zeros(targets.size, np.uint64),
        np.full(targets.size, label, np.uint32),
    )


def _referents(references: References, sources: NDArray[np.uint32]) -> NDArray[np.uint32]:
    parts = [
        references.targets[references.offsets[source] : references.offsets[source + 1]]
        for source in sources[sources != 0].tolist()
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint32)


def _cleanup_has_call(layout: Layout) -> bool:
    return layout.has("runtime.specialCleanup", "cleanup")


def _queued_finalizers(runtime: Runtime) -> NDArray[np.uint64]:
    """Return the pointers in ``runtime.allfin``: blocks of {fn, arg, nret, fint, ot} (runtime/mfinal.go)."""
    head = runtime.symbols.get("runtime.allfin")
    layout = runtime.layout
    found: list[int] = []
    # Spelled finblock up to Go 1.24.
    of = next((name for name in ("runtime.finBlock", "runtime.finblock") if layout.has(name, "fin")), None)
    if head is None or of is None:
        return np.zeros(0, np.uint64)
    try:
        block, steps = runtime.image.u64(head), 0
        while block and steps < _MAX_BLOCKS:
            count = runtime.image.u32(block + layout.offset(of, "cnt"))
            start = block + layout.offset(of, "fin")
            for index in range(min(count, 4096)):
                fn, arg, _, fint, ot = runtime.image.unpack("<5Q", start + index * _FINALIZER_BYTES)
                found.extend((fn, arg, fint, ot))
            block, steps = runtime.image.u64(block + layout.offset(of, "alllink")), steps + 1
    except NotCaptured:
        pass
    return np.array(found, np.uint64)


def _queued_cleanups(runtime: Runtime) -> NDArray[np.uint64]:
    """Return the pointers in ``runtime.gcCleanups`` (1.25+, runtime/mcleanup.go): blocks of 512 bytes."""
    queue = runtime.symbols.get("runtime.gcCleanups")
    layout = runtime.layout
    found: list[int] = []
    if queue is None or not layout.has("runtime.cleanupQueue", "all"):
        return np.zeros(0, np.uint64)
    words = 3 if _cleanup_has_call(layout) else 1
    try:
        block, steps = runtime.image.u64(queue + layout.offset("runtime.cleanupQueue", "all")), 0
        while block and steps < _MAX_BLOCKS:
            count = runtime.image.u32(block + layout.offset("runtime.cleanupBlockHeader", "n"))
            start = block + layout.size("runtime.cleanupBlockHeader")
            found.extend(runtime.image.words(start, min(count, 480 // (8 * words)) * words).tolist())
            block = runtime.image.u64(block + layout.offset("runtime.cleanupBlockHeader", "alllink"))
            steps += 1
    except NotCaptured:
        pass
    return np.array(found, np.uint64)
