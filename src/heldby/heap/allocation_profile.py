"""The memory profile of a program with or without symbols: its rate is a variable that must be found first."""

from __future__ import annotations

from heldby.golang.functions.functions import FunctionTable
from heldby.golang.objects.specials import SpecialTable
from heldby.golang.profile.memory_profile import MemoryProfile, read_memory_profile
from heldby.golang.runtime.runtime import Runtime
from heldby.heap.code_knowledge import CodeKnowledge


def allocation_profile(
    runtime: Runtime, functions: FunctionTable, specials: SpecialTable, code: CodeKnowledge | None
) -> MemoryProfile:
    """Return the memory profile. O(buckets and their frames)."""
    return read_memory_profile(runtime, functions, specials, _rate_at(runtime, code))


def _rate_at(runtime: Runtime, code: CodeKnowledge | None) -> int | None:
    """Return the address of ``runtime.MemProfileRate``: by name, or as what these three functions all use."""
    named = runtime.symbols.get("runtime.MemProfileRate")
    if named is not None or code is None:
        return named
    found = code.used_by_all(("runtime.allocmcache", "runtime.profilealloc", "runtime.schedinit"))
    return int(found[0]) if found.size == 1 else None
