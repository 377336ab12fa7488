"""The first words of interfaces: descriptors and itabs, and the types that they name."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from heldby.errors import NotCaptured
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.types import type_scan as scan
from heldby.golang.types.types import FIRST_DESCRIPTOR, TypeTable
from heldby.golang.typing.type_word_kernels import DynamicTypes


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
