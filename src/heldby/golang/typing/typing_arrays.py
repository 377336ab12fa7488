"""The arrays that typing runs on: objects, references, roots and types as the compiled kernels read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.objects.objects import ObjectTable
from heldby.golang.objects.references import References
from heldby.golang.objects.spans import MAX_BITMAP_ELEMSIZE, PAGE_BYTES, SpanTable
from heldby.golang.types import type_scan as scan
from heldby.golang.types.type_layout import MAX_PROGRAM_WORDS, TypeLayouts
from heldby.golang.types.types import TypeTable
from heldby.golang.typing.type_word_kernels import (
    SPAN_HEADER,
    SPAN_LARGE,
    SPAN_NOSCAN,
    SPAN_TINY,
    HeapView,
    TypeColumns,
)

# runtime/sizeclasses.go, the same from Go 1.21 to 1.27.
SIZE_CLASSES: Final = (
    *(8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320, 352, 384),
    *(416, 448, 480, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280, 1408, 1536, 1792, 2048, 2304, 2688),
    *(3072, 3200, 3456, 4096, 4864, 5376, 6144, 6528, 6784, 6912, 8192, 9472, 9728, 10240, 10880, 12288),
    *(13568, 14336, 16384, 18432, 19072, 20480, 21760, 24576, 27264, 28672, 32768),
)
_MAX_ARRAY_BYTES: Final = 1 << 15
_TINY_SPANCLASS: Final = 5


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


def heap_view(objects: ObjectTable, references: References, roots: RootSlots) -> HeapView:
    """Return the arrays that the typing kernels read; nothing is copied but span columns."""
    spans = objects.spans
    small = ~spans.large & (spans.elemsize <= MAX_BITMAP_ELEMSIZE)
    bitmap = np.where(small, spans.pointer_bits, np.uint64(0))
    return HeapView(
        addr=objects.addr,
        span=objects.span,
        offsets=references.offsets,
        targets=references.targets,
        words=references.words,
        elemsize=spans.elemsize,
        flags=_span_flags(spans),
        bitmap=bitmap,
        base=spans.base,
        root_addr=roots.addr,
        root_word=roots.word,
        root_target=roots.target,
        root_type=roots.type,
        classes=_CLASSES,
    )


def label_view(objects: ObjectTable, references: References) -> HeapView:
    """Return of `heap_view` what `label_chosen` reads: spans and words; the other arrays are empty."""
    spans = objects.spans
    none64, none32 = np.zeros(0, np.uint64), np.zeros(0, np.uint32)
    return HeapView(
        addr=none64,
        span=objects.span,
        offsets=np.zeros(0, np.int64),
        targets=none32,
        words=references.words,
        elemsize=spans.elemsize,
        flags=_span_flags(spans),
        bitmap=none64,
        base=spans.base,
        root_addr=none64,
        root_word=none32,
        root_target=none32,
        root_type=none32,
        classes=_CLASSES,
    )


def _span_flags(spans: SpanTable) -> NDArray[np.uint8]:
    flags = np.zeros(len(spans) + 1, np.uint8)
    flags[:-1] |= np.where(spans.noscan, SPAN_NOSCAN, 0).astype(np.uint8)
    flags[:-1] |= np.where(spans.has_headers, SPAN_HEADER, 0).astype(np.uint8)
    flags[:-1] |= np.where(spans.large, SPAN_LARGE, 0).astype(np.uint8)
    flags[:-1] |= np.where(spans.spanclass == _TINY_SPANCLASS, SPAN_TINY, 0).astype(np.uint8)
    return flags


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
        # What lies beyond a program's end must not be looked up in it.
        prefix=np.minimum(types.ptrbytes // 8, MAX_PROGRAM_WORDS).astype(np.uint64),
        kind=types.kind,
        direct=types.direct,
        mask=types.pointer_mask,
        tile=tile,
        tile_count=count,
        start=layouts.start,
        slot_kind=layouts.kind,
        slot_target=layouts.target,
        slot_aux=layouts.aux,
        byte=np.array([next(iter(types.named("uint8")), 0)], np.uint32),
    )


def group_equal(*columns: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Group the rows of equal columns; return an example row of each group, and the group of each row.

    A sort of single words for each column: ten times faster than `numpy.unique` along an axis.
    """
    group = np.zeros(columns[0].size, np.int64)
    example = np.zeros(min(1, group.size), np.intp)
    for column in columns:
        distinct, inverse = np.unique(column, return_inverse=True)
        joined = group * np.int64(distinct.size) + inverse
        _, example, group = np.unique(joined, return_index=True, return_inverse=True)
    return example, group


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
