"""Resident bytes of slots by what they hold: garbage, live objects, what only finalizers reach, nothing."""

# mypy: ignore-errors
from __future__ import annotations

from heldby.jit import kernel, u64
from heldby.memory.residency_kernels import resident_bytes


@kernel
def account_slots(directory, bits, base, span_bytes, elemsize, nelems, first, addr, state, out):
    """Fill ``out[s]`` with resident bytes of span s: objects by state 0, 1, 2; free slots; not in any slot.

    Objects are in address order, ``addr[i]`` and ``state[i]``; those of span s are ``first[s]`` to
    ``first[s + 1]``. Spans whose pages all are resident, nearly all, need no look at single addresses.
    """
    for s in range(u64(base.size)):
        size = elemsize[s]
        low = base[s]
        slots = low + nelems[s] * size
        end = low + span_bytes[s]
        whole = resident_bytes(directory, bits, low, end)
        if whole == u64(0):
            continue
        objects = u64(0)
        for i in range(u64(first[s]), u64(first[s + u64(1)])):
            part = size
            if whole != span_bytes[s]:
                part = resident_bytes(directory, bits, addr[i], addr[i] + size)
            out[s, state[i]] += part
            objects += part
        in_slots = slots - low
        if whole != span_bytes[s]:
            in_slots = resident_bytes(directory, bits, low, slots)
        out[s, 3] = in_slots - objects
        out[s, 4] = whole - in_slots
