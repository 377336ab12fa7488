"""Objects that tell what they are by themselves: channels, closures, the runtime's own records."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.code.closures import Captures, ClosureStructs, closure_type, entries_of
from heldby.golang.functions.functions import FunctionTable
from heldby.golang.layouts.differences import CLEANUP_HAS_CALL
from heldby.golang.objects.specials import CLEANUP, WEAK_HANDLE, SpecialTable
from heldby.golang.types import type_scan as scan
from heldby.golang.types.container_parts import part_of
from heldby.golang.types.type_layout import POINTER
from heldby.golang.types.types import CLEANUP_ARGUMENT, CLOSURE, TypeTable
from heldby.golang.types.types import WEAK_HANDLE as WEAK_HANDLE_TYPE
from heldby.golang.typing.shape_kernels import read_pointer_bits, sample_by_type
from heldby.golang.typing.type_word_kernels import BY_POINTER, BY_RUNTIME, SPAN_HEADER, SPAN_NOSCAN
from heldby.golang.typing.typing_arrays import group_equal, slot_bytes_of
from heldby.golang.typing.typing_run import TypingRun

U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
_SAMPLE: Final = 64
_MAX_SAMPLED_WORD: Final = 512


def recognise_channels(run: TypingRun) -> None:
    """Recognise channels by the element type that their header names (runtime/chan.go, hchan)."""
    layout = run.runtime.layout
    size, heap = layout.size("runtime.hchan"), run.heap
    roomy = (heap.elemsize >= size) & ((heap.flags[: heap.elemsize.size] & SPAN_HEADER) == 0)
    unknown = run.objects_where(lambda part: (run.state.type[part] == 0) & roomy[heap.span[part]])

    def word(field: str) -> U64:
        return run.object_word(unknown, layout.offset("runtime.hchan", field) // 8)

    descriptors = word("elemtype")
    possible = descriptors >= run.types.descriptor_addrs[:1].sum()
    unknown, descriptors = unknown[possible], descriptors[possible]
    elem = run.types.numbers_at(descriptors)
    known = elem != 0
    unknown, elem = unknown[known], elem[known]
    good = (word("elemsize") & np.uint64(0xFFFF)).astype(np.int64) == run.types.size[elem]
    good &= (word("qcount") <= word("dataqsiz")) & (word("buf") != 0)
    unknown, elem = unknown[good], elem[good]
    channels = _channel_types(run.types)
    numbers = np.array([channels.get(number, 0) for number in elem.tolist()], np.uint32)
    run.accept(unknown[numbers != 0], numbers[numbers != 0] * 2, BY_POINTER)


def _channel_types(types: TypeTable) -> dict[int, int]:
    """Return the channel header for each element type; a channel of both directions comes first."""
    found: dict[int, int] = {}
    for number in np.flatnonzero(types.kind[: len(types)] == scan.CHAN).tolist():
        elem = int(types.elem[number])
        if elem not in found or types[number].name.startswith("chan "):
            found[elem] = number
    return {elem: part_of(types, "channel", number) for elem, number in found.items()}


def recognise_closures(run: TypingRun, functions: FunctionTable, captures: Captures) -> None:
    """Give closures the type of their function, with what it captured."""
    heap, state, types = run.heap, run.state, run.types
    structs = ClosureStructs.of(types, slot_bytes_of)
    closure = np.zeros(types.size.size, np.bool_)
    closure[structs.numbers] = closure[CLOSURE] = True
    small_scan = heap.bitmap != 0

    def possible(part: slice) -> NDArray[np.bool_]:
        number = state.type[part] >> np.uint32(1)
        wanted: NDArray[np.bool_] = closure[number] | ((number == 0) & small_scan[heap.span[part]])
        return wanted

    chosen = run.objects_where(possible)
    if not chosen.size:
        return
    lead = (heap.flags[heap.span[chosen]] & SPAN_HEADER) != 0
    words = np.where(lead, run.object_word(chosen, 1), run.object_word(chosen, 0))
    text = np.zeros(chosen.size, np.bool_)
    for low, high in zip(run.dynamic.text_low, run.dynamic.text_high, strict=True):
        text |= (words >= low) & (words < high)
    chosen, words = chosen[text], words[text]
    bits = np.zeros(chosen.size, np.uint64)
    read_pointer_bits(run.runtime.pages, heap, chosen, bits)
    is_entry, index = entries_of(functions, words)
    real = is_entry & ((bits & np.uint64(1)) == 0)
    chosen, words, bits, index = chosen[real], words[real], bits[real], index[real]
    elemsize = heap.elemsize[heap.span[chosen]]
    first, group = group_equal(words, elemsize, bits)
    made = np.zeros(first.size, np.uint32)
    for row, example in enumerate(first.tolist()):
        entry, size, mask = int(words[example]), int(elemsize[example]), int(bits[example])
        own = int(state.type[chosen[example]]) >> 1
        fitting = structs.fitting(size, mask)
        if fitting.size > 1:
            fitting = run.code.closure_structs(entry, fitting)
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
    run.accept(chosen, packed, BY_POINTER)


def recognise_mark_workers(run: TypingRun) -> None:
    """Recognise the pool nodes of the collector's workers: pointer-free, but they name their goroutine.

    runtime/mgc.go, gcBgMarkWorkerNode: {node lfnode (16 bytes), gp guintptr, m muintptr}.
    """
    named = run.types.named("runtime.gcBgMarkWorkerNodePadded") or run.types.named(
        "runtime.gcBgMarkWorkerNode"
    )
    if not named:
        return
    heap, number = run.heap, named[-1]
    slot = slot_bytes_of(np.array([run.types.size[number]], np.uint64))[0]
    of_size = heap.elemsize == slot
    unknown = run.objects_where(lambda part: (run.state.type[part] == 0) & of_size[heap.span[part]])
    workers = run.object_word(unknown, 2)
    found = run.state.type[run.objects.find(workers)] >> np.uint32(1)
    good = np.isin(found, np.array(run.types.named("runtime.g"), np.uint32))
    run.accept(unknown[good], np.full(int(good.sum()), number * 2, np.uint32), BY_POINTER)


def recognise_specials(run: TypingRun, specials: SpecialTable) -> None:
    """Type the boxes that specials refer to: weak handles, and the arguments of cleanups."""
    handles = run.objects.find(specials.payload[specials.of_kind(WEAK_HANDLE), 0])
    _accept_pointer_free(run, handles, WEAK_HANDLE_TYPE)
    if CLEANUP_HAS_CALL.holds(run.types.layout):
        # From Go 1.26: {call, fn, arg, id}; a small argument without pointers gets a box of 16 bytes.
        boxes = run.objects.find(specials.payload[specials.of_kind(CLEANUP), 2])
        _accept_pointer_free(run, boxes, CLEANUP_ARGUMENT)


def _accept_pointer_free(run: TypingRun, objects: U32, number: int) -> None:
    objects = np.unique(objects[objects != 0])
    good = (run.state.type[objects] == 0) & ((run.heap.flags[run.heap.span[objects]] & SPAN_NOSCAN) != 0)
    good &= run.heap.elemsize[run.heap.span[objects]] == 16
    run.accept(objects[good], np.full(int(good.sum()), number * 2, np.uint32), BY_RUNTIME)


def recognise_variables(run: TypingRun) -> None:
    """Type unknown variables that typed pointers in the heap lead to, and follow what they hold.

    ``runtime.m0`` is one: every goroutine's ``m`` may lead there.
    """
    addrs, numbers = _pointers_to_variables(run)
    if not addrs.size:
        return
    heap = run.heap
    slot = heap.root_addr + heap.root_word.astype(np.uint64) * np.uint64(8)
    at = np.searchsorted(addrs, slot, side="right") - 1
    known = np.maximum(at, 0)
    offset = slot - addrs[known]
    size = run.types.size[numbers[known]].astype(np.uint64)
    new = (at >= 0) & (heap.root_addr != 0) & (heap.root_type == 0) & (offset < size)
    rows = np.flatnonzero(new)
    root_addr, root_word, root_type = heap.root_addr.copy(), heap.root_word.copy(), heap.root_type.copy()
    root_addr[rows], root_type[rows] = addrs[known[rows]], numbers[known[rows]]
    root_word[rows] = (offset[rows] >> np.uint64(3)).astype(np.uint32)
    run.heap = heap._replace(root_addr=root_addr, root_word=root_word, root_type=root_type)
    run.follow((rows + len(run.objects) + 1).astype(np.uint32))


def _pointers_to_variables(run: TypingRun) -> tuple[U64, U32]:
    """Return variables that typed objects point to, by ascending address, and their types.

    A few objects of each type are looked at; where several types claim one address, the largest wins.
    """
    ranges = [module.range("noptrdata", "end") for module in run.runtime.modules]
    counts = np.zeros(len(run.types), np.int64)
    samples = np.zeros(_SAMPLE * counts.size, np.uint32)
    sample_by_type(run.state.type, _SAMPLE, counts, samples)
    found: dict[int, int] = {}
    for each in np.flatnonzero(counts).tolist():
        program = run.layouts.program(each)
        if not (program.kind == POINTER).any():
            continue
        sample = samples[_SAMPLE * each : _SAMPLE * each + int(counts[each])]
        leads = (run.heap.flags[run.heap.span[sample]] & SPAN_HEADER).astype(np.bool_).astype(np.int64)
        for word, target in zip(
            program.word[program.kind == POINTER].tolist(),
            program.target[program.kind == POINTER].tolist(),
            strict=True,
        ):
            if word > _MAX_SAMPLED_WORD:
                break
            for lead in np.unique(leads).tolist():
                values = run.object_word(sample[leads == lead], word + lead)
                for low, high in ranges:
                    for value in values[(values >= low) & (values < high)].tolist():
                        if run.types.size[target] > run.types.size[found.get(value, 0)]:
                            found[value] = target
    addrs = np.array(sorted(found), np.uint64)
    return addrs, np.array([found[addr] for addr in addrs.tolist()], np.uint32)
