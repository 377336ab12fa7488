"""What the program's code tells of variables that nobody names: who uses them, and of what type they are.

Function names survive stripping, so a variable without a name is called by its place and shown with the
functions that refer to it. Variables start where code refers to; a word that no instruction refers to belongs
to the variable before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.binary import code_constants as cc
from heldby.binary.code_references import (
    NO_WORDS,
    CodeFacts,
    PointerWords,
    code_functions,
    receiver_type_name,
    scan_code,
)
from heldby.errors import HeldbyError
from heldby.golang.code.variables import is_runtime_name
from heldby.golang.functions.functions import FunctionTable
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.types import type_scan as scan
from heldby.golang.types.types import GoType, TypeTable

_MAX_USERS: Final = 4
# A word this far behind the last address that code refers to is not taken for a part of that variable.
_MAX_VARIABLE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class CodeKnowledge:
    """References from the program's code to its variables, at run-time addresses.

    Attributes:
        starts: ``uint64[n]``, the addresses among the variables that code refers to, ascending.
        pointed_from: of values that no code refers to, the address of a word that points to them.
        facts: references and evidence that it is made from.
        functions: of the program.
    """

    starts: NDArray[np.uint64]
    pointed_from: Mapping[int, int]
    facts: CodeFacts
    functions: FunctionTable
    _types: TypeTable

    def variable_starts(self, addrs: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Return for each address the start of its variable; the address itself where nothing is known."""
        if not self.starts.size:
            return addrs
        row = np.searchsorted(self.starts, addrs, side="right") - 1
        start = self.starts[np.maximum(row, 0)]
        return np.where((row >= 0) & (addrs - start < _MAX_VARIABLE_BYTES), start, addrs)

    def with_static_values(self, targets: NDArray[np.uint64], holders: NDArray[np.uint64]) -> CodeKnowledge:
        """Return the same, told that variables start at `targets` too, which the words at `holders` point to."""
        pointed_from = dict(zip(targets.tolist(), holders.tolist(), strict=True))
        return replace(self, starts=np.union1d(self.starts, targets), pointed_from=pointed_from)

    def used_at(self, start: int, end: int) -> int:
        """Return where to look for the users of ``[start, end)``: there, or at what points to it."""
        if start in self.pointed_from and not self.users(start, end):
            return self.pointed_from[start]
        return start

    def users(self, start: int, end: int) -> list[str]:
        """Return who refers to ``[start, end)``: functions that store there first, initialisers last."""
        where = self.facts.references.between(start, end)
        rows = self.functions.indexes(self.facts.references.instructions[where])
        stores = self.facts.references.is_store[where]
        ranked: dict[str, int] = {}
        for row, store in zip(rows.tolist(), stores.tolist(), strict=True):
            if row >= 0:
                name = self.functions.name(row)
                ranked[name] = min(ranked.get(name, 2), 0 if store else 1)
        return sorted(ranked, key=lambda name: (_is_initialiser(name), ranked[name], name))

    def used_by_all(self, names: Sequence[str]) -> NDArray[np.uint64]:
        """Return the addresses that every one of these functions refers to; those not in the program do not count."""
        rows = [row for name in names if (row := self.functions.named(name)) >= 0]
        references = self.facts.references
        found = references.targets[:0] if not rows else self.starts
        for row in rows:
            entry, limit = self.functions.entry(row), int(self.functions.arrays.limit[row])
            inside = (references.instructions >= entry) & (references.instructions < limit)
            found = np.intersect1d(found, references.targets[inside])
        return found

    def is_runtime_owned(self, start: int, end: int) -> bool:
        """Tell whether functions refer to the variable and all of them are the runtime's."""
        users = self.users(start, end)
        return bool(users) and all(is_runtime_name(name) for name in users)

    def type_at(self, start: int) -> int:
        """Return the type number of the variable that starts there; 0 when the code is silent."""
        evidence = self.facts.evidence
        best = 0
        for row in range(*evidence.between(start, start + 1).indices(evidence.addresses.size)):
            number = self._number(int(evidence.relations[row]), int(evidence.subjects[row]))
            # What is embedded at the beginning looks like the whole: the larger type wins, for pointers the
            # type that they point to.
            if number and (not best or self._extent(number) > self._extent(best)):
                best = number
        return best

    def _extent(self, number: int) -> int:
        is_pointer = self._types.kind[number] == scan.POINTER
        return int(self._types.size[self._types.elem[number] if is_pointer else number])

    def type_name(self, number: int) -> str:
        """Return what a type is called."""
        return self._types.display_name(number)

    def _number(self, relation: int, descriptor: int) -> int:
        if relation in (cc.RELATION_RECEIVER, cc.RELATION_RECEIVER_ADDRESS):
            number = self._receiver(descriptor)
        else:
            number = self._types.number_at(descriptor)
        if not number or relation in (cc.RELATION_IS, cc.RELATION_HOLDS, cc.RELATION_RECEIVER_ADDRESS):
            return number
        if relation == cc.RELATION_SLICE_OF:
            return self._derived(number, scan.SLICE, "[]", 24)
        return self._derived(number, scan.POINTER, "*", 8)

    def _receiver(self, method: int) -> int:
        index = self.functions.index(method)
        full = receiver_type_name(self.functions.name(index)) if index >= 0 else None
        if full is None:
            return 0
        package, _, short = full.rpartition("/")
        candidates = self._types.named(short)
        wanted = f"{package}/{short.partition('.')[0]}".lstrip("/")
        exact = [number for number in candidates if self._types[number].package == wanted]
        return exact[0] if exact else candidates[0] if len(candidates) == 1 else 0

    def _derived(self, elem: int, kind: int, prefix: str, size: int) -> int:
        """Return the number of ``*T`` or ``[]T``, made when the program has no descriptor of it."""
        types = self._types
        known = np.flatnonzero((types.kind[: len(types)] == kind) & (types.elem[: len(types)] == elem))
        if known.size:
            return int(known[0])
        name = prefix + types[elem].name
        return types.add(GoType(name=name, kind=kind, size=size, ptrbytes=8, elem=elem), pointer_mask=1)


def code_facts(
    runtime: Runtime,
    functions: FunctionTable,
    words: Callable[[NDArray[np.int64]], PointerWords] | None = None,
    before: CodeFacts | None = None,
) -> CodeFacts:
    """Scan the first module's code, at run-time addresses. Linear in the code.

    Args:
        runtime: of the process.
        functions: of the process.
        words: makes the pointers to follow, for functions with these entries; without it none are followed.
        before: of an earlier scan, which knew no pointers.

    Raises:
        HeldbyError: the code is not there, or cannot be read.
    """
    module = runtime.modules[0]
    low, high = module.range("text", "etext")
    code = runtime.image.read_array(low, high - low)
    named = zip(functions.names(), functions.arrays.entry.tolist(), strict=True)
    known = before.functions if before is not None else code_functions(named)
    followed = words(known.entries) if words is not None else NO_WORDS
    return scan_code(code, low, runtime.layout.arch, module.range("noptrdata", "end"), known, followed)


def read_code(
    runtime: Runtime, functions: FunctionTable, types: TypeTable, caveats: list[str]
) -> CodeKnowledge | None:
    """Scan the first module's code; None, with a caveat, where it cannot be read. Linear in the code."""
    try:
        facts = code_facts(runtime, functions)
    except HeldbyError as error:
        caveats.append(f"variables without names cannot be told by the code that uses them: {error.message}")
        return None
    return CodeKnowledge(np.unique(facts.references.targets), {}, facts, functions, types)


def _is_initialiser(name: str) -> bool:
    return name.endswith(".init") or ".init." in name


def shown_users(users: list[str]) -> tuple[str, ...]:
    """Return the first few of the functions that `CodeKnowledge.users` found."""
    return tuple(users[:_MAX_USERS])
