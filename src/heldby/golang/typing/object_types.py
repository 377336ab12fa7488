"""Typing the heap: which Go type each object has, and on what evidence.

Order: types that the runtime wrote beside the object, typed roots, channels, then interface words in objects and
roots that are still unknown, then closures; each step follows typed pointers as far as they lead. What stays
unknown after that is matched by shape (see shape_matching).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.code.closures import Captures
from heldby.golang.code.code_types import read_code_types
from heldby.golang.functions.functions import FunctionTable
from heldby.golang.objects.objects import ObjectTable
from heldby.golang.objects.references import References
from heldby.golang.objects.specials import SpecialTable
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.types.type_layout import TypeLayouts
from heldby.golang.types.types import Field, TypeTable
from heldby.golang.typing.large_shapes import LargeShapes
from heldby.golang.typing.recognition import (
    recognise_channels,
    recognise_closures,
    recognise_mark_workers,
    recognise_specials,
    recognise_variables,
)
from heldby.golang.typing.shape_index import ShapeIndex
from heldby.golang.typing.shape_matching import ShapeMatcher
from heldby.golang.typing.type_word_kernels import BY_CHOICE, BY_HEADER, BY_PREFIX, BY_SHAPE
from heldby.golang.typing.typing_arrays import RootSlots, heap_view, slot_bytes_of, type_columns
from heldby.golang.typing.typing_run import TypingRun
from heldby.progress import QUIET, Progress

__all__ = ["EVIDENCE_NAMES", "ObjectTypes", "RootSlots", "heap_view", "type_columns", "type_objects"]

EVIDENCE_NAMES: Final = (
    "none",
    "choice",
    "prefix",
    "shape",
    "interior",
    "interface",
    "pointer",
    "runtime",
    "header",
)
_MAX_SHAPE_ROUNDS: Final = 64
_SHAPE_SAMPLE: Final = 2048
_MAP_INNARDS: Final = ("*maps.table", "maps.table", "*runtime.bmap", "runtime.bmap")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectTypes:
    """The types of objects 0..n.

    Attributes:
        packed: ``uint32[n + 1]``: type number times two, plus 1 when the object is a run of such values (the
            backing store of a slice, an array, string data). 0 is unknown.
        evidence: ``uint8[n + 1]``, index into `EVIDENCE_NAMES`.
        layouts: the types and how their words are named.
        unreadable_interfaces: interface words that name no known type.
    """

    packed: NDArray[np.uint32]
    evidence: NDArray[np.uint8]
    layouts: TypeLayouts
    unreadable_interfaces: int = 0

    @property
    def number(self) -> NDArray[np.uint32]:
        """Type numbers, ``uint32[n + 1]``."""
        return self.packed >> np.uint32(1)

    @property
    def is_array(self) -> NDArray[np.bool_]:
        """Which objects are runs of their type, ``bool[n + 1]``."""
        return (self.packed & np.uint32(1)).astype(np.bool_)

    def typed_sizes(self, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the bytes of each object whose type is known: the slot, or the known beginning of it."""
        known = np.where((self.packed != 0) & (self.evidence != BY_CHOICE), sizes, 0)
        own = self.layouts.types.size[self.number]
        return np.where(self.evidence == BY_PREFIX, np.minimum(known, own), known)


def _nothing_captured(_entry: int) -> Sequence[Field]:
    return ()


def type_objects(
    runtime: Runtime,
    types: TypeTable,
    objects: ObjectTable,
    references: References,
    functions: FunctionTable,
    roots: RootSlots | None = None,
    captures: Captures = _nothing_captured,
    specials: SpecialTable | None = None,
    progress: Progress = QUIET,
) -> ObjectTypes:
    """Return the type of every object. O(references), 12 bytes an object while it runs.

    Args:
        runtime: of the process.
        types: of the program; gets further types.
        objects: all objects.
        references: between them.
        functions: name closures.
        roots: pointers outside the heap, with the types of variables where they are known.
        captures: what the debug information says of closures.
        specials: finalizers, cleanups and weak handles.
        progress: told of the one phase.
    """
    code = read_code_types(runtime, types, functions)
    run = TypingRun(runtime, types, objects, references, roots or RootSlots.none(), code)
    with progress.phase("types"):
        type_by_headers(run)
        run.follow(run.typed_roots())
        recognise_channels(run)
        run.follow(run.untyped_roots())
        run.follow(run.untyped_with_references())
        recognise_variables(run)
        recognise_closures(run, functions, captures)
        if specials is not None:
            recognise_specials(run, specials)
        type_by_shapes(run)
        recognise_closures(run, functions, captures)
        recognise_mark_workers(run)
    return ObjectTypes(
        packed=run.state.type,
        evidence=run.state.evidence,
        layouts=run.layouts,
        unreadable_interfaces=len(run.strange) - len(run.itabs),
    )


def type_by_headers(run: TypingRun) -> None:
    """Start from the types that the runtime wrote in malloc headers and large spans."""
    chosen = run.references.typed_objects
    numbers = run.types.numbers_at(run.references.typed_descriptors)
    # The header of a large map's directory says []*maps.table and no more, that of a list of overflow buckets
    # []*runtime.bmap; the map knows keys and elements.
    innards = [number for name in _MAP_INNARDS for number in run.types.named(name)]
    told = (numbers != 0) & ~np.isin(numbers, np.array(innards, np.uint32))
    chosen, numbers = chosen[told], numbers[told]
    columns = run.columns()
    tile = columns.tile[numbers]
    spans, span = run.objects.spans, run.objects.span[chosen]
    lead = np.where(spans.has_headers[span], 8, 0).astype(np.uint64)
    room = np.where(spans.large[span], spans.extent[span], spans.elemsize[span] - lead)
    size = np.maximum(columns.size[tile], np.uint64(1))
    single = (columns.tile_count[numbers] == 1) & (room < size * np.uint64(2))
    # One value fills the slot when the allocator would choose that very slot for it.
    exact = (columns.tile_count[numbers] == 1) & (slot_bytes_of(size + lead) == spans.elemsize[span])
    run.state.type[chosen] = tile * 2 + np.where(single | exact, 0, 1).astype(np.uint32)
    run.state.evidence[chosen] = BY_HEADER
    run.follow(chosen)


def type_by_shapes(run: TypingRun) -> None:
    """Match unknown objects against the shapes of all types, until nothing new is learnt."""
    if not run.unknown_with_bits().size:
        return
    spans = run.objects.spans
    index = ShapeIndex(
        run.types, run.layouts, run.columns, slot_bytes_of, with_large=not spans.types_in_slots
    )
    large = None
    if not spans.types_in_slots:
        large = LargeShapes(run.runtime, run.types, index.large_numbers, spans)
    matcher = ShapeMatcher(run.runtime, run.heap, index, run.layouts, run.code, large)
    steps = [(True, _SHAPE_SAMPLE), (True, None), (False, _SHAPE_SAMPLE), (False, None)]
    step = 0
    for _ in range(_MAX_SHAPE_ROUNDS):
        confirmed, sample = steps[step]
        objects, packed = matcher.match(
            run.unknown_with_bits(), run.state, run.dynamic, run.columns, confirmed=confirmed, sample=sample
        )
        if objects.size:
            run.accept(objects, packed, BY_SHAPE)
            step = 0
        elif step + 1 < len(steps):
            step += 1
        elif _choose(run, matcher):
            step = 0
        else:
            return


def _choose(run: TypingRun, matcher: ShapeMatcher) -> bool:
    """Use what all possible types of an object agree on; tell whether that was news."""
    objects, packed = matcher.choose(run.unknown_with_bits(), run.state, run.dynamic, run.columns)
    news = run.state.type[objects] != packed
    run.accept(objects[news], packed[news], BY_CHOICE)
    return bool(news.any())
