"""Naming chosen references: the label of the word that holds each pointer."""

# mypy: ignore-errors
from __future__ import annotations

from heldby.golang.typing.type_word_kernels import SPAN_HEADER
from heldby.jit import ONE, ZERO, kernel, u64


@kernel
def label_chosen(heap, object_type, types, label, unknown_labels, sources, edges, out):
    """Set ``out[i]`` to the label of reference ``edges[i]``, which lies in object ``sources[i]``.

    A source of 0 is no object: its entry stays as it is. A word of an unknown object, or beyond the known
    part, is named by its offset: ``unknown_labels[word]``, the last entry for all words further on.
    """
    last_unknown = u64(unknown_labels.size - 1)
    for i in range(u64(edges.size)):
        o = u64(sources[i])
        if o == ZERO:
            continue
        known = u64(object_type[o])
        own, is_array = known >> ONE, known & ONE
        header = ONE if heap.flags[u64(heap.span[o])] & SPAN_HEADER else ZERO
        start = types.start[own]
        tile, prefix = types.size[own] >> u64(3), types.prefix[own]
        w = u64(heap.words[u64(edges[i])])
        position = w - header if w >= header else ZERO
        inside = position
        if is_array and tile:
            inside = position % tile
        if own and start >= 0 and inside < prefix and inside < tile:
            out[i] = label[u64(start) + inside]
        else:
            out[i] = unknown_labels[position if position < last_unknown else last_unknown]
