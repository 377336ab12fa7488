"""Typing the heap: which Go type each object has, and on what evidence.

Order: types that the runtime wrote beside the object, typed roots, then interface words in objects and roots
that are still unknown; each step follows typed pointers as far as they lead. What stays unknown after that is
matched by shape (see shape_matching).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.errors import NotCaptured
from heldby.golang import type_scan as scan
from heldby.golang.closures import Captures, ClosureStructs, closure_type, entries_of
from heldby.golang.code_types import CodeTypes, read_code_types
from heldby.golang.functions import FunctionTable
from heldby.golang.objects import ObjectTable
from heldby.golang.references import References
from heldby.golang.runtime import Runtime
from heldby.golang.shape_kernels import read_object_words, read_pointer_bits
from heldby.golang.shape_matching import ShapeIndex, ShapeMatcher
from heldby.golang.spans import MAX_BITMAP_ELEMSIZE, PAGE_BYTES
from heldby.golang.type_layout import TypeLayouts
from heldby.golang.types import CLOSURE, FIRST_DESCRIPTOR, Field, TypeTable
from heldby.golang.typing_kernels import (
    BY_CHOICE,
    BY_HEADER,
    BY_POINTER,
    BY_PREFIX,
    BY_SHAPE,
    SPAN_HEADER,
    SPAN_LARGE,
    SPAN_NOSCAN,
    SPAN_TINY,
    DynamicTypes,
    HeapView,
    TypeColumns,
    TypingState,
    propagate,
)
from heldby.progress import QUIET, Progress

# runtime/sizeclasses.go, the same from Go 1.21 to 1.27.
SIZE_CLASSES: Final = (
    *(8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320, 352, 384),
    *(416, 448, 480, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280, 1408, 1536, 1792, 2048, 2304, 2688),
    *(3072, 3200, 3456, 4096, 4864, 5376, 6144, 6528, 6784, 6912, 8192, 9472, 9728, 10240, 10880, 12288),
    *(13568, 14336, 16384, 18432, 19072, 20480, 21760, 24576, 27264, 28672, 32768),
)
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
_MAX_ARRAY_BYTES: Final = 1 << 15
_MAX_STRANGE: Final = 1 << 16
_MAX_ROUNDS: Final = 4096
_MAX_SHAPE_ROUNDS: Final = 64
_SHAPE_SAMPLE: Final = 2048
_INLINE_MARK_BYTES: Final = 128
_MAP_INNARDS: Final = ("*maps.table", "maps.table")


@dataclass(frozen=True, slots=True, kw_only=True)
class RootSlots:
    """Pointer words outside the heap.

    Attributes:
        addr: ``uint64[k]``, address of the *variable* that the word belongs to; of the word itself when the
            variable is unknown; 0 for a register.
        word: ``uint32[k]``, index of the word in the variable.
        target: ``uint32[k]``, object that it leads to, 0 for none.
        type: ``uint32[k]``, type number of the variable, 0 for unknown.
    """

    addr: NDArray[np.uint64]
    word: NDArray[np.uint32]
    target: NDArray[np.uint32]
    type: NDArray[np.uint32]

    @classmethod
    def none(cls) -> RootSlots:
        """Return no roots."""
        nothing = np.zeros(0, np.uint32)
        return cls(addr=np.zeros(0, np.uint64), word=nothing, target=nothing, type=nothing)


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
    entry_of_closure: Mapping[int, int] = field(default_factory=dict)

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
        progress: told of the one phase.
    """
    code = read_code_types(runtime, types, functions.arrays.entry)
    typing = _Typing(runtime, types, objects, references, roots or RootSlots.none(), code)
    with progress.phase("types"):
        typing.from_headers()
        typing.from_roots()
        typing.from_channels()
        typing.from_interfaces()
        typing.from_closures(functions, captures)
        typing.from_shapes()
        typing.from_closures(functions, captures)
        typing.from_mark_workers()
    return typing.result()


class _Typing:
    """One run of typing: the arrays that the kernels share, and the order of the steps."""

    def __init__(
        self,
        runtime: Runtime,
        types: TypeTable,
        objects: ObjectTable,
        references: References,
        roots: RootSlots,
        code: CodeTypes,
    ) -> None:
        self.runtime = runtime
        self.types = types
        self.layouts = TypeLayouts(types)
        self.objects = objects
        self.references = references
        self.heap = heap_view(objects, references, roots)
        self.code = code
        self.itabs: dict[int, int] = {}
        self.strange: set[int] = set()
        self.dynamic = dynamic_types(runtime, types, self.itabs)
        items = len(objects) + 1 + roots.addr.size
        self.state = TypingState(
            type=np.zeros(len(objects) + 1, np.uint32),
            evidence=np.zeros(len(objects) + 1, np.uint8),
            queued=np.zeros(items, np.uint8),
            stack=np.zeros(items + 1, np.uint32),
            deferred=np.zeros(items + 1, np.uint32),
            needed=np.zeros(1, np.uint8),
            strange=np.zeros(_MAX_STRANGE, np.uint64),
        )

    def from_headers(self) -> None:
        """Start from the types that the runtime wrote in malloc headers and large spans."""
        chosen = self.references.typed_objects
        numbers = self.types.numbers_at(self.references.typed_descriptors)
        # The header of a large map's directory says []*maps.table and no more; the map knows keys and elements.
        innards = [number for name in _MAP_INNARDS for number in self.types.named(name)]
        told = (numbers != 0) & ~np.isin(numbers, np.array(innards, np.uint32))
        chosen, numbers = chosen[told], numbers[told]
        columns = type_columns(self.types, self.layouts)
        tile = columns.tile[numbers]
        spans, span = self.objects.spans, self.objects.span[chosen]
        lead = np.where(spans.has_headers[span], 8, 0).astype(np.uint64)
        room = np.where(spans.large[span], spans.extent[span], spans.elemsize[span] - lead)
        size = np.maximum(columns.size[tile], np.uint64(1))
        single = (columns.tile_count[numbers] == 1) & (room < size * np.uint64(2))
        # One value fills the slot when the allocator would choose that very slot for it.
        exact = (columns.tile_count[numbers] == 1) & (slot_bytes_of(size + lead) == spans.elemsize[span])
        self.state.type[chosen] = tile * 2 + np.where(single | exact, 0, 1).astype(np.uint32)
        self.state.evidence[chosen] = BY_HEADER
        self.run(chosen)

    def from_roots(self) -> None:
        """Follow root variables whose type is known."""
        first = len(self.objects) + 1
        self.run((np.flatnonzero(self.heap.root_type) + first).astype(np.uint32))

    def from_interfaces(self) -> None:
        """Look for interface words in roots and objects that are still unknown."""
        heap = self.heap
        first = len(self.objects) + 1
        self.run((np.flatnonzero((heap.root_type == 0) & (heap.root_addr != 0)) + first).astype(np.uint32))
        self.run(self.untyped_with_references())

    def from_channels(self) -> None:
        """Recognise channels by the element type that their header names (runtime/chan.go, hchan)."""
        layout = self.runtime.layout
        size, heap = layout.size("runtime.hchan"), self.heap
        unknown = np.flatnonzero(self.state.type == 0).astype(np.uint32)
        unknown = unknown[heap.elemsize[heap.span[unknown]] >= size]
        unknown = unknown[(heap.flags[heap.span[unknown]] & SPAN_HEADER) == 0]
        unknown = unknown[unknown != 0]

        def word(field: str) -> NDArray[np.uint64]:
            out = np.zeros(unknown.size, np.uint64)
            read_object_words(
                self.runtime.pages, heap.addr, unknown, layout.offset("runtime.hchan", field) // 8, out
            )
            return out

        elem = self.types.numbers_at(word("elemtype"))
        known = elem != 0
        unknown, elem = unknown[known], elem[known]
        good = (word("elemsize") & np.uint64(0xFFFF)).astype(np.int64) == self.types.size[elem]
        good &= (word("qcount") <= word("dataqsiz")) & (word("buf") != 0)
        unknown, elem = unknown[good], elem[good]
        channels = self._channel_types()
        numbers = np.array([channels.get(number, 0) for number in elem.tolist()], np.uint32)
        self.accept(unknown[numbers != 0], numbers[numbers != 0] * 2, BY_POINTER)

    def _channel_types(self) -> dict[int, int]:
        """Return the channel header for each element type; a channel of both directions comes first."""
        types = self.types
        found: dict[int, int] = {}
        for number in np.flatnonzero(types.kind[: len(types)] == scan.CHAN).tolist():
            elem = int(types.elem[number])
            if elem not in found or types[number].name.startswith("chan "):
                found[elem] = number
        return {elem: types.synthetic("channel", number) for elem, number in found.items()}

    def from_closures(self, functions: FunctionTable, captures: Captures) -> None:
        """Give closures the type of their function, with what it captured."""
        heap, state, types = self.heap, self.state, self.types
        number = state.type >> np.uint32(1)
        structs = ClosureStructs.of(types, slot_bytes_of)
        whole = np.isin(number, np.append(structs.numbers, np.uint32(CLOSURE)))
        small_scan = heap.bitmap[heap.span] != 0
        chosen = np.flatnonzero(whole | ((number == 0) & small_scan)).astype(np.uint32)
        chosen = chosen[chosen != 0]
        if not chosen.size:
            return
        lead = (heap.flags[heap.span[chosen]] & SPAN_HEADER) != 0
        words, bits = np.zeros(chosen.size, np.uint64), np.zeros(chosen.size, np.uint64)
        second = np.zeros(chosen.size, np.uint64)
        read_object_words(self.runtime.pages, heap.addr, chosen, 0, words)
        read_object_words(self.runtime.pages, heap.addr, chosen, 1, second)
        words = np.where(lead, second, words)
        read_pointer_bits(self.runtime.pages, heap, chosen, bits)
        is_entry, index = entries_of(functions, words)
        real = is_entry & ((bits & np.uint64(1)) == 0)
        chosen, words, bits, index = chosen[real], words[real], bits[real], index[real]
        elemsize = heap.elemsize[heap.span[chosen]]
        shapes, group = np.unique(np.stack([words, elemsize, bits]), axis=1, return_inverse=True)
        group = group.reshape(-1)
        first = np.zeros(shapes.shape[1], np.int64)
        first[group[::-1]] = np.arange(group.size)[::-1]
        made = np.zeros(shapes.shape[1], np.uint32)
        for row, (entry, size, mask) in enumerate(shapes.T.tolist()):
            example = int(first[row])
            own = int(number[chosen[example]])
            fitting = structs.fitting(size, mask)
            if fitting.size > 1:
                fitting = self.code.closure_structs(entry, fitting)
            struct = own if own in structs.numbers else int(fitting[0]) if fitting.size == 1 else 0
            made[row] = closure_type(
                types,
                functions.name(int(index[example])),
                size,
                mask,
                struct=struct,
                captured=captures(entry),
            )
        packed = made[group] * np.uint32(2)
        self.accept(chosen, packed, BY_POINTER)

    def from_shapes(self) -> None:
        """Match unknown objects against the shapes of all types, until nothing new is learnt."""

        def columns() -> TypeColumns:
            return type_columns(self.types, self.layouts)

        unknown = self.unknown_with_bits()
        if not unknown.size:
            return
        index = ShapeIndex(self.types, self.layouts, columns, slot_bytes_of)
        matcher = ShapeMatcher(self.runtime, self.heap, index, self.layouts, self.code.allocated)
        steps = [(True, _SHAPE_SAMPLE), (True, None), (False, _SHAPE_SAMPLE), (False, None)]
        step = 0
        for _ in range(_MAX_SHAPE_ROUNDS):
            confirmed, sample = steps[step]
            objects, packed = matcher.match(
                self.unknown_with_bits(),
                self.state,
                self.dynamic,
                columns,
                confirmed=confirmed,
                sample=sample,
            )
            if objects.size:
                self.accept(objects, packed, BY_SHAPE)
                step = 0
            elif step + 1 < len(steps):
                step += 1
            elif self._choose(matcher, columns):
                step = 0
            else:
                return

    def _choose(self, matcher: ShapeMatcher, columns: Callable[[], TypeColumns]) -> bool:
        """Use what all possible types of an object agree on; tell whether that was news."""
        objects, packed = matcher.choose(self.unknown_with_bits(), self.state, self.dynamic, columns)
        news = self.state.type[objects] != packed
        self.accept(objects[news], packed[news], BY_CHOICE)
        return bool(news.any())

    def accept(self, objects: NDArray[np.uint32], packed: NDArray[np.uint32], evidence: int) -> None:
        """Set the types of objects and follow what they lead to."""
        self.state.type[objects] = packed
        self.state.evidence[objects] = np.maximum(self.state.evidence[objects], evidence)
        self.run(objects)

    def unknown_with_bits(self) -> NDArray[np.uint32]:
        """Return the unknown objects whose pointer bits lie in their span: at most 512 bytes, not noscan."""
        open_question = (self.state.type == 0) | (self.state.evidence == BY_CHOICE)
        unknown = np.flatnonzero(open_question & (self.heap.bitmap[self.heap.span] != 0))
        chosen: NDArray[np.uint32] = unknown[unknown != 0].astype(np.uint32)
        return chosen

    def from_mark_workers(self) -> None:
        """Recognise the pool nodes of the collector's workers: pointer-free, but they name their goroutine.

        runtime/mgc.go, gcBgMarkWorkerNode: {node lfnode (16 bytes), gp guintptr, m muintptr}.
        """
        named = self.types.named("runtime.gcBgMarkWorkerNodePadded") or self.types.named(
            "runtime.gcBgMarkWorkerNode"
        )
        if not named:
            return
        heap, number = self.heap, named[-1]
        slot = slot_bytes_of(np.array([self.types.size[number]], np.uint64))[0]
        unknown = np.flatnonzero((self.state.type == 0) & (heap.elemsize[heap.span] == slot)).astype(
            np.uint32
        )
        unknown = unknown[unknown != 0]
        workers = np.zeros(unknown.size, np.uint64)
        read_object_words(self.runtime.pages, heap.addr, unknown, 2, workers)
        found = self.state.type[self.objects.find(workers)] >> np.uint32(1)
        good = np.isin(found, np.array(self.types.named("runtime.g"), np.uint32))
        self.accept(unknown[good], np.full(int(good.sum()), number * 2, np.uint32), BY_POINTER)

    def untyped_with_references(self) -> NDArray[np.uint32]:
        """Return the unknown objects that refer to something."""
        has = self.heap.offsets[1:] > self.heap.offsets[:-1]
        return np.flatnonzero(has & (self.state.type == 0)).astype(np.uint32)

    def run(self, items: NDArray[np.uint32]) -> None:
        """Follow typed pointers from `items` until nothing new is learnt."""
        state = self.state
        for _ in range(_MAX_ROUNDS):
            columns = type_columns(self.types, self.layouts)
            state = self.state = state._replace(needed=np.zeros(columns.size.size, np.uint8))
            state.stack[: items.size] = items
            state.queued[items] = 1
            deferred, strange = propagate(
                self.runtime.pages, self.heap, columns, self.dynamic, state, items.size
            )
            deferred = int(deferred)
            again = state.deferred[:deferred].copy()
            state.queued[again] = 0
            learnt = self._learn_interfaces(state.strange[: int(strange)])
            if not deferred:
                if not learnt:
                    return
                again = self._holders_of_interfaces()
            self.layouts.ensure(np.flatnonzero(state.needed))
            items = again

    def _learn_interfaces(self, words: NDArray[np.uint64]) -> bool:
        """Add interface words made at run time (itabs of type assertions) to the known ones."""
        new = {word for word in np.unique(words).tolist() if word not in self.strange}
        self.strange |= new
        found = 0
        for word in new:
            number = itab_type(self.runtime, self.types, word)
            if number:
                self.itabs[word] = number
                found += 1
        if found:
            self.dynamic = dynamic_types(self.runtime, self.types, self.itabs)
        return found > 0

    def _holders_of_interfaces(self) -> NDArray[np.uint32]:
        has = self.heap.offsets[1:] > self.heap.offsets[:-1]
        return np.flatnonzero(has & (self.state.type != 0)).astype(np.uint32)

    def result(self) -> ObjectTypes:
        """Return what was learnt."""
        return ObjectTypes(
            packed=self.state.type,
            evidence=self.state.evidence,
            layouts=self.layouts,
            unreadable_interfaces=len(self.strange) - len(self.itabs),
        )


def heap_view(objects: ObjectTable, references: References, roots: RootSlots) -> HeapView:
    """Return the arrays that the typing kernels read; nothing is copied but span columns."""
    spans = objects.spans
    flags = np.zeros(len(spans) + 1, np.uint8)
    flags[:-1] |= np.where(spans.noscan, SPAN_NOSCAN, 0).astype(np.uint8)
    flags[:-1] |= np.where(spans.has_headers, SPAN_HEADER, 0).astype(np.uint8)
    flags[:-1] |= np.where(spans.large, SPAN_LARGE, 0).astype(np.uint8)
    flags[:-1] |= np.where(spans.spanclass == 5, SPAN_TINY, 0).astype(np.uint8)
    span_bytes = spans.pages * np.uint64(PAGE_BYTES)
    in_bitmap = ~spans.noscan & ~spans.large & (spans.elemsize <= MAX_BITMAP_ELEMSIZE)
    marks = np.where(spans.inline_marks, np.uint64(_INLINE_MARK_BYTES), np.uint64(0))
    bitmap = np.where(in_bitmap, spans.base + span_bytes - span_bytes // np.uint64(64) - marks, np.uint64(0))
    return HeapView(
        addr=objects.addr,
        span=objects.span,
        offsets=references.offsets,
        targets=references.targets,
        words=references.words,
        elemsize=spans.elemsize,
        flags=flags,
        bitmap=bitmap,
        base=spans.base,
        root_addr=roots.addr,
        root_word=roots.word,
        root_target=roots.target,
        root_type=roots.type,
        classes=_CLASSES,
    )


def type_columns(types: TypeTable, layouts: TypeLayouts) -> TypeColumns:
    """Return types and programs as the kernels read them. O(types)."""
    layouts.ensure(np.zeros(0, np.int64))
    tile = np.arange(types.size.size, dtype=np.uint32)
    count = np.ones(types.size.size, np.uint64)
    for _ in range(16):
        # Smaller arrays have programs of their own and stay what they are.
        arrays = (types.kind[tile] == scan.ARRAY) & (types.elem[tile] != 0)
        arrays &= (types.ptrbytes[tile] > _MAX_ARRAY_BYTES) | (types.size[tile] > _MAX_ARRAY_BYTES)
        if not arrays.any():
            break
        count[arrays] *= types.length[tile[arrays]].astype(np.uint64)
        tile[arrays] = types.elem[tile[arrays]]
    return TypeColumns(
        size=types.size.astype(np.uint64),
        prefix=(types.ptrbytes // 8).astype(np.uint64),
        kind=types.kind,
        direct=types.direct,
        mask=types.pointer_mask,
        tile=tile,
        tile_count=count,
        start=layouts.start,
        slot_kind=layouts.kind,
        slot_target=layouts.target,
        slot_aux=layouts.aux,
    )


def dynamic_types(runtime: Runtime, types: TypeTable, itabs: Mapping[int, int]) -> DynamicTypes:
    """Return the table from interface words to types: descriptors, static itabs and those in `itabs`."""
    lows, highs, firsts, parts, demanded, at = [], [], [], [], [], 0
    others = dict(itabs)
    for module in runtime.modules:
        low, high = module.range("types", "etypes")
        if not low < high < low + (1 << 30):
            continue
        direct = np.zeros((high - low) // 8 + 1, np.uint32)
        mine = (types.descriptor_addrs >= low) & (types.descriptor_addrs < high)
        step = ((types.descriptor_addrs[mine] - np.uint64(low)) >> np.uint64(3)).astype(np.int64)
        direct[step] = (np.flatnonzero(mine) + FIRST_DESCRIPTOR).astype(np.uint32)
        serves = np.zeros(direct.size, np.uint32)
        steps, numbers, interfaces = static_itabs(runtime, types, low, high)
        direct[steps], serves[steps] = numbers, interfaces
        demanded.append(serves)
        lows.append(low)
        highs.append(high)
        firsts.append(at)
        parts.append(direct)
        at += direct.size
    text = [module.range("text", "etext") for module in runtime.modules]
    keys = np.array(sorted(others), np.uint64)
    return DynamicTypes(
        low=np.array(lows, np.uint64),
        high=np.array(highs, np.uint64),
        first=np.array(firsts, np.uint64),
        direct=np.concatenate(parts) if parts else np.zeros(1, np.uint32),
        demanded=np.concatenate(demanded) if demanded else np.zeros(1, np.uint32),
        others=keys,
        other_types=np.array([others[key] for key in keys.tolist()], np.uint32),
        text_low=np.array([low for low, _ in text], np.uint64),
        text_high=np.array([high for _, high in text], np.uint64),
    )


def static_itabs(
    runtime: Runtime, types: TypeTable, low: int, high: int
) -> tuple[NDArray[np.intp], NDArray[np.uint32], NDArray[np.uint32]]:
    """Return where in a type section itabs lie (in 8-byte steps), with concrete type and interface.

    An itab is known by its hash, which repeats the type's (internal/abi/iface.go: Inter, Type, Hash, Fun).
    """
    raw, _ = runtime.image.read_available(low, (high - low) // 8 * 8)
    words = np.frombuffer(raw, np.uint64)
    if words.size < 3:
        return np.zeros(0, np.intp), np.zeros(0, np.uint32), np.zeros(0, np.uint32)
    at = np.flatnonzero(
        (words[:-2] >= low) & (words[:-2] < high) & (words[1:-1] >= low) & (words[1:-1] < high)
    )
    interface, concrete = types.numbers_at(words[at]), types.numbers_at(words[at + 1])
    good = (types.kind[interface] == scan.INTERFACE) & (concrete != 0) & (interface != 0)
    at, concrete, interface = at[good], concrete[good], interface[good]
    expected = types.descriptor_hashes[concrete.astype(np.int64) - FIRST_DESCRIPTOR]
    good = (words[at + 2] & np.uint64(0xFFFFFFFF)).astype(np.uint32) == expected
    return at[good], concrete[good], interface[good]


def itab_type(runtime: Runtime, types: TypeTable, addr: int) -> int:
    """Return the concrete type of an itab made at run time, 0 when there is none at `addr`."""
    if addr % 8 or addr < 4096:
        return 0
    try:
        interface, concrete, digest = runtime.image.unpack("<QQI", addr)
    except NotCaptured:
        return 0
    known, number = types.number_at(interface), types.number_at(concrete)
    if not known or not number or types.kind[known] != scan.INTERFACE:
        return 0
    return number if int(types.descriptor_hashes[number - FIRST_DESCRIPTOR]) == digest else 0


def _class_table() -> NDArray[np.uint64]:
    ends = np.array(SIZE_CLASSES, np.int64)
    return ends[np.searchsorted(ends, np.arange(4097) * 8)].astype(np.uint64)


def slot_bytes_of(sizes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the slots that the allocator gives to values of these sizes, malloc headers included."""
    small = sizes <= 32768
    steps = np.where(small, (sizes + np.uint64(7)) >> np.uint64(3), np.uint64(0)).astype(np.int64)
    pages = (sizes + np.uint64(PAGE_BYTES - 1)) & ~np.uint64(PAGE_BYTES - 1)
    return np.where(small, _CLASSES[steps], pages)


_CLASSES: Final = _class_table()
