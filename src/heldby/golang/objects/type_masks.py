"""Pointer masks of types: which words of a value the collector follows.

runtime/type.go, getGCMask: a type's GCData is a bit mask, or (Go 1.24+, TFlagGCMaskOnDemand, from 128 KiB of
pointers; from 1 KiB in 1.26) the address of a word that will hold one; a mask that was never built is computed
from the descriptor as the runtime would do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.errors import NotCaptured
from heldby.golang.runtime.runtime import Runtime

KIND_ARRAY: Final = 17
KIND_STRUCT: Final = 25
_KIND_MASK: Final = 31
_MAX_DEPTH: Final = 64
_MAX_MASK_WORDS: Final = 1 << 27
_MAX_FIELDS: Final = 1 << 16
# Words of all masks together, and fields on the way: damaged types that contain each other end here.
_MAX_WORK: Final = 1 << 28


@dataclass(frozen=True, slots=True)
class TypeMask:
    """The pointer words of one type: `pointers` is ``bool[PtrBytes / 8]``, `period` the size in words."""

    period: int
    pointers: NDArray[np.bool_]


class TypeMasks:
    """Reads masks by descriptor address; each at most once."""

    def __init__(self, runtime: Runtime) -> None:
        self._image = runtime.image
        # 0 where MASKS_ON_DEMAND does not hold.
        self._on_demand = runtime.layout.const("internal/abi.TFlagGCMaskOnDemand", 0)
        # While a mask is built its word holds &runtime.inProgress, a byte among the module's variables.
        self._variables = [module.range("noptrdata", "end") for module in runtime.modules]
        self._known: dict[int, TypeMask | None] = {}
        self._work = _MAX_WORK

    def of(self, descriptor: int) -> TypeMask | None:
        """Return the mask of the type at `descriptor`; None when there is no sane type."""
        if descriptor not in self._known:
            try:
                self._known[descriptor] = self._read(descriptor)
            except NotCaptured:
                self._known[descriptor] = None
        return self._known[descriptor]

    def _read(self, descriptor: int) -> TypeMask | None:
        size, pointer_bytes = self._image.unpack("<QQ", descriptor)
        if size == 0 or size % 8 or pointer_bytes % 8 or pointer_bytes > size:
            return None
        if pointer_bytes // 8 > _MAX_MASK_WORDS:
            return None
        return TypeMask(size // 8, self._bits(descriptor, _MAX_DEPTH))

    def _bits(self, descriptor: int, depth: int) -> NDArray[np.bool_]:
        _, pointer_bytes = self._image.unpack("<QQ", descriptor)
        count = pointer_bytes // 8
        if count == 0 or depth == 0 or count > _MAX_MASK_WORDS:
            return np.zeros(0, np.bool_)
        self._spend(descriptor, count)
        flags, data = self._image.u8(descriptor + 20), self._image.u64(descriptor + 32)
        if flags & self._on_demand:
            built = self._image.u64(data)
            if built and not any(low <= built < high for low, high in self._variables):
                return self._mask_at(built, count)
            return self._computed(descriptor, count, depth)
        return self._mask_at(data, count)

    def _mask_at(self, addr: int, count: int) -> NDArray[np.bool_]:
        bits = np.unpackbits(self._image.read_array(addr, (count + 7) // 8), bitorder="little")
        return bits[:count].astype(np.bool_)

    def _computed(self, descriptor: int, count: int, depth: int) -> NDArray[np.bool_]:
        kind = self._image.u8(descriptor + 23) & _KIND_MASK
        bits = np.zeros(count, np.bool_)
        if kind == KIND_ARRAY:
            element, _, length = self._image.unpack("<QQQ", descriptor + 48)
            self._tile(bits, element, 0, length, depth)
        elif kind == KIND_STRUCT:
            fields, length, _ = self._image.unpack("<QQQ", descriptor + 56)
            for index in range(min(length, _MAX_FIELDS)):
                self._spend(descriptor, 1 << 8)
                _, field_type, offset = self._image.unpack("<QQQ", fields + 24 * index)
                self._tile(bits, field_type, offset // 8, 1, depth)
        return bits

    def _tile(self, bits: NDArray[np.bool_], element: int, start: int, length: int, depth: int) -> None:
        size = self._image.u64(element) // 8
        part = self._bits(element, depth - 1)
        end = min(start + length * size, bits.size)
        if part.size == 0 or start >= end:
            return
        pattern = np.zeros(min(size, end - start), np.bool_)
        pattern[: part.size] = part[: pattern.size]
        bits[start:end] |= np.resize(pattern, end - start)

    def _spend(self, descriptor: int, work: int) -> None:
        """Give a type up when damaged types ask for masks without end."""
        self._work -= work
        if self._work < 0:
            raise NotCaptured(descriptor, what="a sound type")
