"""Finalizers, cleanups and weak handles as roots, and the queues of those about to run.

runtime/mgcmark.go, markrootSpans: what an object with a finalizer refers to is live, the object itself is
not; the closures of finalizers and cleanups are live; a weak handle's box is live, its target is not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heldby.golang.layouts.differences import CLEANUP_HAS_CALL
from heldby.golang.objects.objects import ObjectTable
from heldby.golang.objects.references import References
from heldby.golang.objects.run_queues import queued_cleanups, queued_finalizers
from heldby.golang.objects.specials import CLEANUP, FINALIZER, WEAK_HANDLE, SpecialTable
from heldby.golang.runtime.runtime import Runtime
from heldby.heap.roots import RootBuilder, RootKind


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
    words = 3 if CLEANUP_HAS_CALL.holds(runtime.layout) else 1
    _add(builder, "cleanups", objects.find(specials.payload[cleanups, :words].reshape(-1)))
    handles = specials.of_kind(WEAK_HANDLE)
    _add(builder, "weak handles", objects.find(specials.payload[handles, 0]))
    _add(builder, "finalizer queue", objects.find(queued_finalizers(runtime, objects)))
    _add(builder, "cleanup queue", objects.find(queued_cleanups(runtime, objects)))


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
