"""Finalizers and cleanups that wait for their goroutine: blocks outside the heap whose entries are roots.

One blocked finalizer stops all that come after it; what they hold is live, and no variable refers to it. The
heads, ``runtime.allfin`` (runtime/mfinal.go) and ``runtime.gcCleanups`` (runtime/mcleanup.go, 1.25+), have no
symbol in a stripped program; there every variable is tried whose blocks hold nothing but sound entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.errors import NotCaptured
from heldby.golang.layouts.differences import CLEANUP_HAS_CALL, CLEANUP_QUEUE
from heldby.golang.objects.objects import ObjectTable
from heldby.golang.runtime.module import lie_in
from heldby.golang.runtime.runtime import Runtime
from heldby.memory.image import ADDRESS_END

U64 = NDArray[np.uint64]
_MAX_BLOCKS: Final = 1 << 20
_FINALIZER_BLOCK_BYTES: Final = 4096  # runtime/mfinal.go, _FinBlockSize
_CLEANUP_BLOCK_BYTES: Final = 512  # runtime/mcleanup.go, cleanupBlockSize
_FINALIZER_WORDS: Final = 5  # fn, arg, nret, fint, ot
_MAX_RESULT_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class _Blocks:
    """How blocks of one kind are laid out, and what a sound entry is."""

    link: int
    count: int
    entries: int
    words: int
    most: int
    sound: Callable[[U64], bool]


def queued_finalizers(runtime: Runtime, objects: ObjectTable) -> U64:
    """Return the pointers of all queued finalizers: function, object and types of each."""
    layout = runtime.layout
    # Spelled finblock up to Go 1.24.
    name = next((n for n in ("runtime.finBlock", "runtime.finblock") if layout.has(n, "fin")), None)
    if name is None:
        return np.zeros(0, np.uint64)
    start = layout.offset(name, "fin")
    types = [module.range("types", "etypes") for module in runtime.modules]

    def sound(entries: U64) -> bool:
        rows = entries.reshape(-1, _FINALIZER_WORDS)
        rows = rows[rows[:, 0] != 0]  # the one that runs was cleared
        # Cleanups of Go 1.24 are finalizers without object and types.
        known = (rows[:, 1] == 0) | (lie_in(rows[:, 3], types) & lie_in(rows[:, 4], types))
        known &= rows[:, 2] < _MAX_RESULT_BYTES
        return bool(known.all()) and _are_closures(runtime, rows[:, 0])

    blocks = _Blocks(
        link=layout.offset(name, "alllink"),
        count=layout.offset(name, "cnt"),
        entries=start,
        words=_FINALIZER_WORDS,
        most=(_FINALIZER_BLOCK_BYTES - start) // (8 * _FINALIZER_WORDS),
        sound=sound,
    )
    entries = _read(runtime, objects, blocks, runtime.symbols.get("runtime.allfin"))
    return np.delete(entries.reshape(-1, _FINALIZER_WORDS), 2, axis=1).reshape(-1)


def queued_cleanups(runtime: Runtime, objects: ObjectTable) -> U64:
    """Return the pointers of all queued cleanups; empty up to Go 1.24, which queues them as finalizers."""
    layout = runtime.layout
    if not CLEANUP_QUEUE.holds(layout):
        return np.zeros(0, np.uint64)
    header = "runtime.cleanupBlockHeader"
    # runtime/mcleanup.go: *funcval in 1.25, {call, fn, arg} from 1.26.
    words = 3 if CLEANUP_HAS_CALL.holds(layout) else 1

    def sound(entries: U64) -> bool:
        rows = entries.reshape(-1, words)[:, : min(words, 2)]
        return _are_closures(runtime, rows[rows[:, 0] != 0].reshape(-1))

    start = layout.size(header)
    blocks = _Blocks(
        link=layout.offset(header, "alllink"),
        count=layout.offset(header, "n"),
        entries=start,
        words=words,
        most=(_CLEANUP_BLOCK_BYTES - start) // (8 * words),
        sound=sound,
    )
    queue = runtime.symbols.get("runtime.gcCleanups")
    head = None if queue is None else queue + layout.offset("runtime.cleanupQueue", "all")
    return _read(runtime, objects, blocks, head)


def _read(runtime: Runtime, objects: ObjectTable, blocks: _Blocks, head: int | None) -> U64:
    """Return the entries behind the variable at `head`, or behind every variable that can be one."""
    heads = [head] if head is not None else list(_possible_heads(runtime, objects))
    found: dict[int, U64] = {}
    for at in heads:
        try:
            chain = _chain(runtime, blocks, runtime.image.u64(at))
        except NotCaptured:
            continue
        # A named head is believed even where an entry looks odd: one may be half written at the pause.
        filled = [entries for _, entries in chain if entries.any()]
        if head is not None or (filled and all(blocks.sound(entries) for entries in filled)):
            found.update((block, entries) for block, entries in chain)
    return np.concatenate([np.zeros(0, np.uint64), *found.values()])


def _chain(runtime: Runtime, blocks: _Blocks, first: int) -> list[tuple[int, U64]]:
    """Return address and entries of each block; empty when one of them cannot be a block."""
    chain: list[tuple[int, U64]] = []
    seen: set[int] = set()
    block = first
    while block:
        if block % 8 or block in seen or len(seen) >= _MAX_BLOCKS:
            return []
        seen.add(block)
        count = runtime.image.u32(block + blocks.count)
        if count > blocks.most:
            return []
        chain.append((block, runtime.image.words(block + blocks.entries, count * blocks.words)))
        block = runtime.image.u64(block + blocks.link)
    return chain


def _possible_heads(runtime: Runtime, objects: ObjectTable) -> Iterator[int]:
    """Yield the variables that point to captured memory which is neither heap nor variable."""
    for module in runtime.modules:
        low, high = module.range("noptrdata", "end")
        data, _ = runtime.image.read_available(low, (high - low) & ~7)
        values = np.frombuffer(data, np.uint64)
        plausible = (values >= 1 << 16) & (values < ADDRESS_END) & (values % 8 == 0)
        plausible &= (values < low) | (values >= high)
        at = np.flatnonzero(plausible)
        at = at[objects.find(values[at]) == 0]
        for index in at.tolist():
            if int(values[index]) in runtime.image:
                yield low + 8 * index


def _are_closures(runtime: Runtime, addrs: U64) -> bool:
    """Tell whether each address is that of a closure: a word that points into the program's code."""
    try:
        codes = np.array([runtime.image.u64(addr) for addr in addrs.tolist()], np.uint64)
    except NotCaptured:
        return False
    return bool(lie_in(codes, [module.range("text", "etext") for module in runtime.modules]).all())
