"""Objects in groups: by type, by the package or module of their type, by size class."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.functions.functions import package_of
from heldby.golang.objects.objects import by_span
from heldby.golang.types.types import (
    MAP_PARTS,
    TypeTable,
)
from heldby.graph.retained_sets import group_sums
from heldby.heap.heap import Heap
from heldby.heap.naming import UNKNOWN
from heldby.heap.type_numbers import type_numbers

BUILT_IN: Final = "(built-in types)"
UNKNOWN_TYPES: Final = "(unknown types)"
STANDARD_LIBRARY: Final = "(standard library)"
_MAP_GROUPS: Final = ("map.group[", "noalg.map.group[")
_MOST_NESTED: Final = 16
_STRETCH: Final = 1 << 16
_NAMED: Final = re.compile(r"[\w./%~+-]+\.[\w(*]")


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """Which group each object belongs to.

    Attributes:
        names: of the groups.
        of: ``int32[n + 1]``, row of `names`; what stands at 0, the virtual root, means nothing.
    """

    names: list[str]
    of: NDArray[np.int32]

    def sums(self, heap: Heap, chosen: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return how many of the `chosen` objects (``bool[n + 1]``) each group has, and their shallow bytes."""
        objects = heap.objects
        sizes = objects.spans.elemsize.astype(np.int64)
        return group_sums(self.of, len(self.names), chosen, objects.span, sizes)

    def of_some(self, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which objects belong to one of the groups that are ``wanted[group]``, ``bool[n + 1]``."""
        found = np.empty(self.of.size, np.bool_)
        # In stretches: to index, NumPy widens the rows to 64 bits first.
        for low in range(0, self.of.size, _STRETCH):
            found[low : low + _STRETCH] = wanted[self.of[low : low + _STRETCH]]
        return found


def by_type(heap: Heap) -> Grouping:
    """Return the objects by the name of their type; types that are printed alike are one."""
    return _by_name(heap, heap.naming.type_name)


def of_types(heap: Heap, wanted: re.Pattern[str]) -> NDArray[np.bool_]:
    """Return which objects have a type whose whole name matches, ``bool[n + 1]``. O(objects)."""
    types = type_numbers(heap)
    fits = [wanted.fullmatch(heap.naming.type_name(number)) is not None for number in types.distinct.tolist()]
    return types.chosen(np.array(fits, np.bool_))


def by_package(heap: Heap) -> Grouping:
    """Return the objects by the package of their type: of its elements, for what has no name itself."""
    types = heap.naming.types.layouts.types
    return _by_name(heap, lambda number: package_of_type(types, number))


def _by_name(heap: Heap, name_of: Callable[[int], str]) -> Grouping:
    """Return the objects by what `name_of` calls their type's number."""
    types = type_numbers(heap)
    names: dict[str, int] = {}
    rows = [names.setdefault(name_of(number), len(names)) for number in types.distinct.tolist()]
    return Grouping(list(names), types.rows(np.array(rows, np.int32)))


def by_module(heap: Heap) -> Grouping:
    """Return the objects by the Go module of their type's package, with its version, from the build information."""
    types = heap.naming.types.layouts.types
    info = heap.process.build_info
    modules: dict[str, str] = {}
    if info is not None:
        known = (info.main, *info.dependencies) if info.main else info.dependencies
        modules = {module.path: f"{module.path} {module.version}".strip() for module in known}
    main = modules.get(info.main.path, "main") if info is not None and info.main is not None else "main"
    return _by_name(heap, lambda number: _module_of(package_of_type(types, number), modules, main))


def by_size_class(heap: Heap) -> Grouping:
    """Return the objects by the size of their slots: ``48 B``, ``large``; noscan classes apart."""
    spans = heap.objects.spans
    rows = by_span(spans.spanclass.astype(np.int32), heap.objects.index)
    sizes = np.zeros(256, np.int64)
    sizes[spans.spanclass] = spans.elemsize.astype(np.int64)
    names = []
    for spanclass in range(256):
        what = f"{sizes[spanclass]:,} B" if spanclass > 1 else "large"
        names.append(f"{what}, no pointers" if spanclass & 1 else what)
    return Grouping(names, rows)


def package_of_type(types: TypeTable, number: int) -> str:
    """Return the import path of the package that a type, as `Naming.types_of` numbers it, belongs to."""
    if number >= UNKNOWN or number < 2:
        return UNKNOWN_TYPES
    plain = number >> 1
    for _ in range(_MOST_NESTED):
        known = types[plain]
        if known.kind in MAP_PARTS:
            plain = known.elem
            continue
        if known.package:
            return known.package.replace("%2e", ".")
        if known.name.startswith(_MAP_GROUPS):
            return _package_of_text(types, known.name)
        if _NAMED.match(known.name) and not known.name.startswith(("struct ", "func(")):
            return package_of(known.name)
        if not known.elem:
            break
        plain = known.elem
    return BUILT_IN


def _package_of_text(types: TypeTable, name: str) -> str:
    """Return the package of a map's values by the name of its groups, ``map.group[string]*main.Entry``."""
    depth, start = 0, name.index("[")
    for at in range(start, len(name)):
        depth += (name[at] == "[") - (name[at] == "]")
        if not depth:
            break
    value = re.sub(r"^(\*|\[\d*\])+", "", name[at + 1 :])
    packages = {types[number].package for number in types.named(value)} - {""}
    return min(packages, default=BUILT_IN)


def _module_of(package: str, modules: dict[str, str], main: str) -> str:
    if package in (BUILT_IN, UNKNOWN_TYPES):
        return package
    if package == "main":
        return main
    path = package
    while path:
        if path in modules:
            return modules[path]
        path = path.rpartition("/")[0]
    # The first element of a standard package's path has no dot (cmd/go, module.CheckImportPath).
    return STANDARD_LIBRARY if "." not in package.partition("/")[0] else package
