"""Finding every type descriptor of a program: a strict structural scan of ``[types, etypes)``.

The linker keeps descriptors (internal/abi/type.go, ``abi.Type``) in one range per module. Only some of them
are listed (``typelinks`` has the unnamed ones and is gone in Go 1.27), so the whole range is tested at 8-byte
steps: sizes and alignment of the kind, a name that can be one, elements and fields that are descriptors
themselves. What survives is closed under reference; a word that merely looks like a descriptor does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.layouts.layout import Layout
from heldby.golang.runtime.module import Module
from heldby.memory.image import ADDRESS_END, Image

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]

ARRAY, CHAN, FUNC, INTERFACE, MAP, POINTER, SLICE, STRING, STRUCT, UNSAFE_POINTER = range(17, 27)
KIND_MASK: Final = 31
UNCOMMON, EXTRA_STAR, NAMED = 1, 2, 4
DESCRIPTOR_BYTES: Final = 48
MAX_NAME: Final = 1 << 15
MAX_FIELDS: Final = 1 << 16
_MAX_SECTION: Final = 1 << 30
_FIELD_BYTES: Final = 24  # internal/abi/type.go, StructField
_MAX_SIZE: Final = 1 << 46
# Bytes of a value and of its pointer prefix by kind; -1: the descriptor decides.
_FIXED_SIZE: Final = np.array(
    [-1, 1, 8, 1, 2, 4, 8, 8, 1, 2, 4, 8, 8, 4, 8, 8, 16, -1, 8, 8, 16, 8, 8, 24, 16, -1, 8, *[-1] * 5]
)
# A pointer or slice of a type that is not in the heap (sys.NotInHeap) counts as pointer-free.
_FIXED_POINTERS: Final = np.array([-1, *[0] * 16, -1, 8, 8, 16, 8, -1, -1, 8, -1, 8, *[-1] * 5])
KIND_BYTES: Final = np.array([48] * 17 + [72, 64, 56, 80, 88, 56, 56, 48, 80, 48] + [48] * 5)
# The first character of the name of an unnamed type of each kind (cmd/compile/internal/types/fmt.go).
_FIRST_CHARACTERS: Final = {
    ARRAY: b"[n",
    CHAN: b"c<(",
    FUNC: b"f",
    INTERFACE: b"i",
    MAP: b"m",
    POINTER: b"*",
    SLICE: b"[",
    STRUCT: b"smn",  # struct {...}, map.group[K]V, noalg.map.group[K]V
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptors:
    """Type descriptors in address order, as columns of length n.

    Attributes:
        addr: where the descriptor lies.
        size, ptrbytes: bytes of a value and of the part of it that holds pointers.
        hash: the runtime's hash of the type, repeated in itabs.
        kind: ``reflect.Kind``, 1 to 26.
        tflag: raw flags.
        direct: an interface holds the value itself in its data word.
        name: address of the name record.
        extra: ``uint64[n, 6]``, the words after the common 48 bytes (elements, keys, lengths, fields).
        pointer_mask: for types with at most 512 bytes of pointer prefix: one bit per word.
        dropped: candidates that failed only because something they refer to is no descriptor.
    """

    addr: U64
    size: I64
    ptrbytes: I64
    hash: NDArray[np.uint32]
    kind: NDArray[np.uint8]
    tflag: NDArray[np.uint8]
    direct: Bools
    name: U64
    extra: U64
    pointer_mask: U64
    dropped: int

    def find(self, addrs: U64) -> I64:
        """Return which descriptor lies at each address, -1 where none does."""
        if not self.addr.size:
            return np.full(addrs.size, -1)
        at = np.minimum(np.searchsorted(self.addr, addrs), self.addr.size - 1)
        return np.where(self.addr[at] == addrs, at, -1)


def scan_descriptors(image: Image, layout: Layout, modules: Sequence[Module]) -> Descriptors:
    """Return all type descriptors of the modules. O(bytes of the type sections), vectorised."""
    parts = [_scan_module(image, layout, module) for module in modules]
    columns = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    order = np.argsort(columns["addr"], kind="stable")
    columns = {key: column[order] for key, column in columns.items()}
    kept = _closed_under_reference(image, columns)
    dropped = int(kept.size - kept.sum())
    columns = {key: column[kept] for key, column in columns.items()}
    gcdata = columns.pop("gcdata")
    masks = _pointer_masks(image, gcdata, columns["ptrbytes"])
    return Descriptors(**columns, pointer_mask=masks, dropped=dropped)


def _scan_module(image: Image, layout: Layout, module: Module) -> dict[str, NDArray[Any]]:
    low, high = module.range("types", "etypes")
    size = high - low if 0 <= high - low <= _MAX_SECTION else 0
    raw, _ = image.read_available(low, size // 8 * 8)
    data = np.frombuffer(raw, np.uint8)
    words = np.append(np.frombuffer(raw, np.uint64), np.zeros(16, np.uint64))
    at = np.flatnonzero(_header_mask(words[:-12], words[1:-11], words[2:-10]))
    flags = words[at + 2]
    kind_byte, tflag = (flags >> np.uint64(56)).astype(np.uint8), (flags >> np.uint64(32)).astype(np.uint8)
    kind: NDArray[np.uint8] = (kind_byte & KIND_MASK).astype(np.uint8)
    name_offset = (words[at + 5] & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.int32).astype(np.int64)
    good = _names_fit(data, name_offset, kind, tflag)
    good &= (words[at + 1] == 0) | (words[at + 4] >= 4096)
    at, kind, tflag, kind_byte = at[good], kind[good], tflag[good], kind_byte[good]
    name_offset = name_offset[good]
    tflag_direct = layout.const("internal/abi.TFlagDirectIface", 0)
    direct = (tflag & tflag_direct) != 0 if tflag_direct else (kind_byte & 32) != 0
    extra = words[at[:, None] + np.arange(6, 12)]
    return {
        "addr": np.uint64(low) + at.astype(np.uint64) * np.uint64(8),
        "size": words[at].astype(np.int64),
        "ptrbytes": words[at + 1].astype(np.int64),
        "hash": (words[at + 2] & np.uint64(0xFFFFFFFF)).astype(np.uint32),
        "kind": kind,
        "tflag": tflag,
        "direct": direct,
        "name": np.uint64(low) + name_offset.astype(np.uint64),
        "extra": extra,
        "gcdata": words[at + 4],
    }


def _header_mask(size: U64, pointers: U64, flags: U64) -> Bools:
    """Tell at which words a descriptor may start, from its first 24 bytes."""
    kind = (flags >> np.uint64(56)).astype(np.uint8) & KIND_MASK
    align = (flags >> np.uint64(40)).astype(np.uint8)
    field_align = (flags >> np.uint64(48)).astype(np.uint8)
    good: Bools = (kind > 0) & (kind <= UNSAFE_POINTER) & np.isin(align, (1, 2, 4, 8))
    good &= np.isin(field_align, (1, 2, 4, 8))
    good &= (size < _MAX_SIZE) & (pointers <= size) & (pointers % np.uint64(8) == 0)
    fixed: I64 = _FIXED_SIZE[kind].astype(np.int64)
    good &= (fixed < 0) | (size == fixed.astype(np.uint64))
    fixed = _FIXED_POINTERS[kind].astype(np.int64)
    good &= (fixed < 0) | (pointers == fixed.astype(np.uint64))
    good &= size % np.maximum(align, 1).astype(np.uint64) == 0
    return good


def _names_fit(
    data: NDArray[np.uint8], offset: I64, kind: NDArray[np.uint8], tflag: NDArray[np.uint8]
) -> Bools:
    """Tell which name offsets lead to a record that can be the name of a type of that kind."""
    good: Bools = (offset > 0) & (offset < data.size - 8)
    at = np.where(good, offset, 0)
    length = data[at + 1].astype(np.int64)
    longer = length >= 128
    length = np.where(longer, (length & 127) + (data[at + 2].astype(np.int64) << 7), length)
    good &= ~longer | (data[at + 2] < 128)
    begin = at + np.where(longer, 3, 2)
    good &= (data[at] < 16) & (length > 0) & (length < MAX_NAME) & (begin + length <= data.size)
    starred = (tflag & EXTRA_STAR) != 0
    begin = np.where(good, begin, 0)
    last = np.where(good, begin + length - 1, 0)
    good &= ~starred | ((data[begin] == ord("*")) & (length > 1))
    first = data[np.minimum(begin + starred, data.size - 1)]
    good &= (first > 32) & (first != 127) & (data[last] > 32) & (data[last] != 127)
    named = (tflag & NAMED) != 0
    good &= named | (kind >= ARRAY)
    for each, characters in _FIRST_CHARACTERS.items():
        good &= named | (kind != each) | np.isin(first, list(characters))
    return good


def _closed_under_reference(image: Image, columns: dict[str, NDArray[Any]]) -> Bools:
    """Return which candidates remain when those that refer to a non-descriptor are removed, repeatedly."""
    addr = columns["addr"].astype(np.uint64)
    kind, extra = columns["kind"], columns["extra"].astype(np.uint64)
    alive = np.ones(addr.size, np.bool_)
    sources: list[NDArray[np.intp]] = []
    targets: list[U64] = []
    for kinds, words in (((ARRAY, CHAN, MAP, POINTER, SLICE), (0,)), ((MAP,), (1, 2))):
        index = np.flatnonzero(np.isin(kind, kinds))
        for word in words:
            sources.append(index)
            targets.append(extra[index, word])
    for row in np.flatnonzero(kind == STRUCT):
        field_types = struct_field_words(image, extra[row])
        if field_types is None:
            alive[row] = False
            continue
        inside = field_types[:, 2] <= np.uint64(max(int(columns["size"][row]), 0))
        alive[row] = bool(inside.all())
        sources.append(np.full(field_types.shape[0], row, np.intp))
        targets.append(field_types[:, 1])
    source = np.concatenate(sources) if sources else np.zeros(0, np.intp)
    target = np.concatenate(targets) if targets else np.zeros(0, np.uint64)
    at = np.minimum(np.searchsorted(addr, target), max(addr.size - 1, 0))
    alive[source[addr[at] != target]] = False
    while True:
        dead = source[~alive[at] & alive[source]]
        if not dead.size:
            return alive
        alive[dead] = False


def struct_field_words(image: Image, extra: U64) -> U64 | None:
    """Return the fields of a struct descriptor as ``uint64[n, 3]`` (name, type, offset); None if impossible.

    Args:
        image: the process's bytes.
        extra: the words after the common part: package path, fields pointer, length, capacity.
    """
    pointer, count, capacity = int(extra[1]), int(extra[2]), int(extra[3])
    if count == 0:
        return np.zeros((0, 3), np.uint64)
    if count > capacity or count > MAX_FIELDS or pointer % 8 or pointer >= ADDRESS_END:
        return None
    raw, missing = image.read_available(pointer, _FIELD_BYTES * count)
    return None if missing else np.frombuffer(raw, np.uint64).reshape(count, 3)


def all_struct_fields(image: Image, extra: U64) -> tuple[I64, U64]:
    """Return the fields of many struct descriptors, as `struct_field_words` does for one.

    Args:
        image: the process's bytes.
        extra: ``uint64[n, 4]``, the words after the common part of each.

    Returns:
        ``int64[f]``, the row of `extra` that each field belongs to, ascending, and ``uint64[f, 3]``. A struct that
        is impossible or not in the capture has none.
    """
    pointer, count, capacity = extra[:, 1], extra[:, 2], extra[:, 3]
    sound = (count > 0) & (count <= capacity) & (count <= MAX_FIELDS)
    sound &= (pointer % np.uint64(8) == 0) & (pointer < ADDRESS_END)
    rows = np.flatnonzero(sound)
    counts = count[rows].astype(np.int64)
    owner = np.repeat(rows, counts)
    within = np.arange(owner.size) - np.repeat(np.cumsum(counts) - counts, counts)
    addr = np.repeat(pointer[rows], counts) + within.astype(np.uint64) * np.uint64(_FIELD_BYTES)
    words, known = np.zeros((owner.size, 3), np.uint64), np.ones(owner.size, np.bool_)
    window = addr >> np.uint64(16)
    for number in np.unique(window):
        here = np.flatnonzero(window == number)
        start = int(number) << 16
        raw, missing = image.read_available(start, (1 << 16) + _FIELD_BYTES)
        if missing:
            for row in here.tolist():
                one, gone = image.read_available(int(addr[row]), _FIELD_BYTES)
                known[row] = not gone
                words[row] = 0 if gone else np.frombuffer(one, np.uint64)
        else:
            at = (addr[here] - np.uint64(start)).astype(np.int64) // 8
            words[here] = np.frombuffer(raw, np.uint64)[at[:, None] + np.arange(3)]
    whole = np.ones(len(extra), np.bool_)
    whole[owner[~known]] = False
    keep = whole[owner]
    return owner[keep], words[keep]


def _pointer_masks(image: Image, gcdata: U64, ptrbytes: I64) -> U64:
    """Return the first 64 bits of each type's pointer mask; 0 for types with a longer pointer prefix."""
    addr, prefix = gcdata, ptrbytes
    masks = np.zeros(addr.size, np.uint64)
    small = np.flatnonzero((prefix > 0) & (prefix <= 512))
    for page in np.unique(addr[small] >> np.uint64(16)):
        start = int(page) << 16
        raw, _ = image.read_available(start, (1 << 16) + 8)
        data = np.frombuffer(raw, np.uint8)
        here = small[(addr[small] >> np.uint64(16)) == page]
        at = (addr[here] - np.uint64(start)).astype(np.int64)
        for byte in range(8):
            masks[here] |= data[at + byte].astype(np.uint64) << np.uint64(8 * byte)
    bits = np.clip(prefix // 8, 0, 64)
    keep = np.where(bits >= 64, ~np.uint64(0), (np.uint64(1) << (bits % 64).astype(np.uint64)) - np.uint64(1))
    return np.where((prefix > 0) & (prefix <= 512), masks & keep, np.uint64(0))
