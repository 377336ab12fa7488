"""Finding the headers of strings and slices of bytes, and reading where their data begin and how long they are."""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.golang.typing.type_word_kernels import SPAN_HEADER, SPAN_NOSCAN
from heldby.jit import ONE, ZERO, inline_kernel, kernel, trailing_zeros, u64
from heldby.memory.paging_kernels import PAGE_MISSING, load64, page_of


@inline_kernel
def read_header(directory, tables, words, at, base, extent, slot_bytes):
    """Return place and length that the header at `at` has, and whether both are in the capture and make sense.

    `base`, `extent` and `slot_bytes` are of the span that the data's object lies in. A place outside of that span, and
    a length that leads out of that object, was being written, or is none: the length is 0 then.
    """
    if at == ZERO or (at & u64(7)) != ZERO or page_of(directory, tables, at) == np.int64(PAGE_MISSING):
        return ZERO, ZERO, False
    place = load64(directory, tables, words, at)
    if page_of(directory, tables, at + u64(8)) == np.int64(PAGE_MISSING):
        return place, ZERO, False
    size = load64(directory, tables, words, at + u64(8))
    distance = place - base
    if distance >= extent or size > slot_bytes - distance % slot_bytes:
        return place, ZERO, False
    return place, size, True


@kernel
def read_string_headers(pages, headers, spans, base, extent, slot_bytes, address, length, known):
    """Read pointer and length at each of `headers`, 0 for one in a register.

    Args:
        pages: the process's memory.
        headers: ``uint64[n]``.
        spans: ``uint32[n]``, the span of the object that each pointer leads to.
        base: ``uint64[spans]``.
        extent: ``uint64[spans]``, the bytes from `base` on that belong to slots.
        slot_bytes: ``uint64[spans]``, the size of a span's slots.
        address: ``uint64[n]``, output; 0 where it is not known.
        length: ``int64[n]``, output; 0 where it is not known.
        known: ``bool[n]``, output: see `read_header`.
    """
    directory, tables, words = pages.directory, pages.tables, pages.words
    for i in range(u64(headers.size)):
        s = u64(spans[i])
        place, size, good = read_header(
            directory, tables, words, headers[i], base[s], extent[s], slot_bytes[s]
        )
        address[i] = place
        length[i] = np.int64(size)
        known[i] = good


@kernel
def find_strings(
    pages,
    index,
    slot_bytes,
    heap,
    offsets,
    targets,
    deferred_edges,
    deferred_targets,
    object_type,
    types,
    wanted,
    counted,
    first_span,
    last_span,
    edges,
    sources,
    data,
    address,
    length,
    known,
):
    """List the strings in the objects of some spans, in order of memory, and return their number.

    Of `heap`, the `HeapView`, spans, flags and words are read. ``wanted`` (uint8) says which words of the types'
    programs (`types`) begin what is looked for, ``counted[o]`` (uint8) in which objects. What was set aside leads
    where `deferred_targets` says. The outputs, from `edges` on, have room for all references of these spans:
    the reference, the object that it lies in, the one that it leads to, and the rest as in `read_string_headers`.
    """
    directory, tables, memory = pages.directory, pages.tables, pages.words
    spans, bits, rank = index.spans, index.bits, index.rank
    k = ZERO
    d = ZERO
    for s in range(u64(first_span), u64(last_span)):
        if heap.flags[s] & SPAN_NOSCAN:
            continue
        header = ONE if heap.flags[s] & SPAN_HEADER else ZERO
        end = spans[s + ONE, 3] if s + ONE < u64(spans.shape[0]) else u64(bits.size)
        for word in range(spans[s, 3], end):
            here = bits[word]
            o = u64(rank[word])
            while here:
                slot = ((word - spans[s, 3]) << u64(6)) + u64(trailing_zeros(here))
                here &= here - ONE
                o += ONE
                known_type = u64(object_type[o])
                own, is_array = known_type >> ONE, known_type & ONE
                start = types.start[own]
                if own == ZERO or start < 0 or counted[o] == 0:
                    continue
                tile, prefix = types.size[own] >> u64(3), types.prefix[own]
                at_slot = spans[s, 0] + slot * slot_bytes[s]
                for e in range(u64(offsets[o]), u64(offsets[o + ONE])):
                    w = u64(heap.words[e])
                    inside = w - header if w >= header else ZERO
                    if is_array and tile:
                        inside = inside % tile
                    if inside >= prefix or inside >= tile or wanted[u64(start) + inside] == 0:
                        continue
                    target = targets[e]
                    while d < u64(deferred_edges.size) and u64(deferred_edges[d]) < e:
                        d += ONE
                    if d < u64(deferred_edges.size) and u64(deferred_edges[d]) == e:
                        target = deferred_targets[d]
                    t = u64(heap.span[u64(target)])
                    place, size, good = read_header(
                        directory,
                        tables,
                        memory,
                        at_slot + (w << u64(3)),
                        spans[t, 0],
                        spans[t, 1],
                        slot_bytes[t],
                    )
                    edges[k] = np.int64(e)
                    sources[k] = np.uint32(o)
                    data[k] = target
                    address[k] = place
                    length[k] = np.int64(size)
                    known[k] = good
                    k += ONE
    return k
