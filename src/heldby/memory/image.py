"""`Image`: the bytes of a process by address, from one or more memory-mapped files.

Segments of the first buffer (the core) come first; segments of later buffers (the executable's read-only
parts) fill what the core left out. An address is in one of three states, never confused: *present*, *known
to be zero* (anonymous memory that was not resident when our own capture was made) or *missing*.
"""

from __future__ import annotations

import bisect
import heapq
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.errors import NotCaptured

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint64]

PAGE_SIZE: Final = 4096
# User addresses have 47 bits on amd64 and 48 on arm64, where the kernel puts what it places itself just below the
# top (Documentation/arch/arm64/memory.rst): Go's own structures, as soon as they are mapped without a hint.
ADDRESS_BITS: Final = 48
ADDRESS_END: Final = 1 << ADDRESS_BITS
_MOST_AT_ONCE: Final = 1 << 32
_LARGE: Final = 1 << 26
ZEROS: Final = -1
"""Buffer number of a segment whose bytes are known to be zero."""


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """``[start, end)`` lies at `offset` of buffer number `buffer` (`ZEROS`: zero bytes, no buffer)."""

    start: int
    end: int
    buffer: int
    offset: int


class Image:
    """Bytes by address; immutable.

    Args:
        buffers: ``uint8`` arrays, usually maps of files; buffer 0 is the core.
        segments: where their bytes lie, in any order; where two overlap, the earlier in the sequence wins.
    """

    def __init__(self, buffers: Sequence[Bytes], segments: Sequence[Segment]) -> None:
        self.buffers = tuple(buffers)
        self.segments = tuple(_without_overlaps(segments))
        self._starts = [segment.start for segment in self.segments]
        self._views = tuple(buffer.data for buffer in self.buffers)

    def __contains__(self, addr: int) -> bool:
        return self.segment_at(addr) is not None

    def segment_at(self, addr: int) -> Segment | None:
        """Return the segment that holds `addr`, or None; O(log segments)."""
        index = bisect.bisect_right(self._starts, addr) - 1
        if index >= 0 and addr < self.segments[index].end:
            return self.segments[index]
        return None

    def pieces(self, addr: int, size: int) -> Iterator[tuple[int, Bytes | None]]:
        """Yield ``(addr, bytes)`` for the present parts of a range; bytes is None where they are zero.

        The second element of a zero piece is None and its length is implied by the next piece's address.
        """
        end = addr + size
        index = max(bisect.bisect_right(self._starts, addr) - 1, 0)
        while index < len(self.segments) and self.segments[index].start < end:
            segment = self.segments[index]
            low, high = max(addr, segment.start), min(end, segment.end)
            if low < high:
                if segment.buffer == ZEROS:
                    yield low, None
                else:
                    begin = segment.offset + low - segment.start
                    yield low, self.buffers[segment.buffer][begin : begin + high - low]
            index += 1

    def read_array(self, addr: int, size: int) -> Bytes:
        """Return `size` bytes as ``uint8[size]``, without a copy when they lie together.

        Raises:
            NotCaptured: at the first missing address; or the size can only be damage (below 0, over 4 GiB).
        """
        if not 0 <= size <= _MOST_AT_ONCE:
            raise NotCaptured(addr, what=f"a stretch of {size:,} bytes")
        segment = self.segment_at(addr)
        if segment is None:
            if size == 0:
                return np.empty(0, np.uint8)
            raise NotCaptured(addr)
        if addr + size <= segment.end:
            if segment.buffer == ZEROS:
                return np.zeros(size, np.uint8)
            begin = segment.offset + addr - segment.start
            return self.buffers[segment.buffer][begin : begin + size]
        self._demand(addr, size)
        out = np.zeros(size, np.uint8)
        position = addr
        while (segment := self.segment_at(position)) is not None and position < addr + size:
            high = min(addr + size, segment.end)
            if segment.buffer != ZEROS:
                begin = segment.offset + position - segment.start
                out[position - addr : high - addr] = self.buffers[segment.buffer][
                    begin : begin + high - position
                ]
            position = high
        return out

    def _demand(self, addr: int, size: int) -> None:
        """Raise `NotCaptured` at the first missing address, before memory is taken for a damaged length."""
        position = addr
        while position < addr + size:
            segment = self.segment_at(position)
            if segment is None:
                raise NotCaptured(position)
            position = segment.end

    def read(self, addr: int, size: int) -> bytes:
        """Return `size` bytes. Raises `NotCaptured` at the first missing address."""
        segment = self.segment_at(addr)
        if segment is not None and segment.buffer != ZEROS and 0 <= size <= segment.end - addr:
            # The usual case, some hundred thousand times in a large program: twice as fast as by way of an array.
            begin = segment.offset + addr - segment.start
            return bytes(self._views[segment.buffer][begin : begin + size])
        return self.read_array(addr, size).tobytes()

    def read_available(self, addr: int, size: int) -> tuple[bytes, int]:
        """Return `size` bytes with zeros for the missing ones, and how many are missing.

        A size that can only be damage (below 0, over 4 GiB, or large and for the most part missing) gives
        no bytes, all of them missing.
        """
        if not 0 <= size <= _MOST_AT_ONCE:
            return b"", max(size, 0)
        if size > _LARGE and self._present(addr, size) < size // 2:
            return b"", size
        out = np.zeros(size, np.uint8)
        missing = size
        index = max(bisect.bisect_right(self._starts, addr) - 1, 0)
        while index < len(self.segments) and self.segments[index].start < addr + size:
            segment = self.segments[index]
            low, high = max(addr, segment.start), min(addr + size, segment.end)
            if low < high:
                missing -= high - low
                if segment.buffer != ZEROS:
                    begin = segment.offset + low - segment.start
                    out[low - addr : high - addr] = self.buffers[segment.buffer][begin : begin + high - low]
            index += 1
        return out.tobytes(), missing

    def _present(self, addr: int, size: int) -> int:
        index = max(bisect.bisect_right(self._starts, addr) - 1, 0)
        present = 0
        while index < len(self.segments) and self.segments[index].start < addr + size:
            segment = self.segments[index]
            present += max(0, min(addr + size, segment.end) - max(addr, segment.start))
            index += 1
        return present

    def words(self, addr: int, count: int) -> Words:
        """Return `count` little-endian 64-bit words. Raises `NotCaptured`."""
        return np.frombuffer(self.read(addr, 8 * count), np.uint64)

    def u8(self, addr: int) -> int:
        """Return one byte. Raises `NotCaptured`."""
        return self.read(addr, 1)[0]

    def u32(self, addr: int) -> int:
        """Return a 32-bit unsigned integer. Raises `NotCaptured`."""
        return int.from_bytes(self.read(addr, 4), "little")

    def i32(self, addr: int) -> int:
        """Return a 32-bit signed integer. Raises `NotCaptured`."""
        return int.from_bytes(self.read(addr, 4), "little", signed=True)

    def u64(self, addr: int) -> int:
        """Return a 64-bit unsigned integer. Raises `NotCaptured`."""
        return int.from_bytes(self.read(addr, 8), "little")

    def unpack(self, layout: str, addr: int) -> tuple[int, ...]:
        """Return `struct.unpack` of the bytes at `addr`. Raises `NotCaptured`."""
        return struct.unpack(layout, self.read(addr, struct.calcsize(layout)))

    def scan(self, pattern: bytes, start: int, end: int) -> Iterator[int]:
        """Yield the addresses in ``[start, end)`` where `pattern` lies, within single segments."""
        for addr, piece in self.pieces(start, end - start):
            if piece is None:
                continue
            data = piece.tobytes()
            found = data.find(pattern)
            while found >= 0:
                yield addr + found
                found = data.find(pattern, found + 1)


def _without_overlaps(segments: Sequence[Segment]) -> list[Segment]:
    """Return the segments by address, earlier ones keeping what later ones claim too; O(n log n)."""
    ordered = sorted(
        (
            (segment.start, rank, segment)
            for rank, segment in enumerate(segments)
            if segment.start < segment.end
        )
    )
    # The usual case, checked in one pass: nothing overlaps.
    if all(a[2].end <= b[0] for a, b in pairwise(ordered)):
        return [segment for _, _, segment in ordered]
    kept: list[Segment] = []
    claims: list[tuple[int, Segment]] = []  # a heap: the earliest in the sequence is on top
    position = next_claim = 0
    while True:
        while claims and claims[0][1].end <= position:
            heapq.heappop(claims)
        if not claims:
            if next_claim == len(ordered):
                return kept
            position = max(position, ordered[next_claim][0])
        while next_claim < len(ordered) and ordered[next_claim][0] <= position:
            _, rank, segment = ordered[next_claim]
            heapq.heappush(claims, (rank, segment))
            next_claim += 1
        rank, winner = claims[0]
        if winner.end <= position:
            continue
        stop = winner.end
        while next_claim < len(ordered) and ordered[next_claim][0] < stop:
            start, other, segment = ordered[next_claim]
            if other < rank:
                stop = start
                break
            heapq.heappush(claims, (other, segment))
            next_claim += 1
        kept.append(_cut(winner, position, stop))
        position = stop


def _cut(segment: Segment, start: int, end: int) -> Segment:
    offset = segment.offset + start - segment.start if segment.buffer != ZEROS else 0
    return Segment(start, end, segment.buffer, offset)
