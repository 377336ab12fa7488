"""Objects in groups: by type, by the package or module of their type, by size class."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.functions.functions import package_of
from heldby.golang.types.types import TypeTable
from heldby.graph.set_kernels import row_numbers
from heldby.heap.heap import Heap
from heldby.heap.naming import UNKNOWN

BUILT_IN: Final = "(built-in types)"
UNKNOWN_TYPES: Final = "(unknown types)"
STANDARD_LIBRARY: Final = "(standard library)"
_MAP_GROUPS: Final = ("map.group[", "noalg.map.group[")
_MOST_NESTED: Final = 16
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

    def renamed(self, names: Iterable[str]) -> Grouping:
        """Return the groups under other names, one for each; groups of one name become one."""
        distinct: dict[str, int] = {}
        rows = np.fromiter((distinct.setdefault(name, len(distinct)) for name in names), np.int32)
        return Grouping(list(distinct), rows[self.of])


def by_type_number(heap: Heap) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """Return the distinct numbers in `Naming.type_of`, ascending, and the row of each object's among them.

    O(objects); unlike ``np.unique`` it does not sort them.
    """
    numbers = heap.naming.type_of
    # From `UNKNOWN` on a number says the size of an unknown type's slot.
    known_end = 2 * len(heap.naming.types.layouts.types)
    slots = np.unique(heap.objects.spans.elemsize)
    sizes = UNKNOWN | np.unique(np.minimum(slots, np.uint64(UNKNOWN - 1))).astype(np.uint32)
    seen = np.zeros(known_end + sizes.size, np.uint8)
    none = np.zeros(0, np.int32)
    row_numbers(numbers, known_end, sizes, seen, none, False)
    row_of = np.cumsum(seen, dtype=np.int32) - np.int32(1)
    rows = np.zeros(numbers.size, np.int32)
    row_numbers(numbers, known_end, sizes, row_of, rows, True)
    distinct = np.concatenate((np.arange(known_end, dtype=np.uint32), sizes))[seen != 0]
    return distinct, rows


def by_type(heap: Heap) -> Grouping:
    """Return the objects by the name of their type; types that are printed alike are one."""
    numbers, rows = by_type_number(heap)
    return Grouping([], rows).renamed(heap.naming.type_name(number) for number in numbers.tolist())


def by_package(heap: Heap) -> Grouping:
    """Return the objects by the package of their type: of its elements, for what has no name itself."""
    numbers, rows = by_type_number(heap)
    types = heap.naming.types.layouts.types
    return Grouping([], rows).renamed(package_of_type(types, number) for number in numbers.tolist())


def by_module(heap: Heap) -> Grouping:
    """Return the objects by the Go module of their type's package, with its version, from the build information."""
    packages = by_package(heap)
    info = heap.process.build_info
    modules: dict[str, str] = {}
    if info is not None:
        known = (info.main, *info.dependencies) if info.main else info.dependencies
        modules = {module.path: f"{module.path} {module.version}".strip() for module in known}
    main = modules.get(info.main.path, "main") if info is not None and info.main is not None else "main"
    return packages.renamed(_module_of(package, modules, main) for package in packages.names)


def by_size_class(heap: Heap) -> Grouping:
    """Return the objects by the size of their slots: ``48 B``, ``large``; noscan classes apart."""
    spans = heap.objects.spans
    rows = spans.spanclass.astype(np.int32)[heap.objects.span]
    sizes = np.zeros(256, np.int64)
    sizes[spans.spanclass] = spans.elemsize.astype(np.int64)
    names = []
    for spanclass in range(256):
        what = f"{sizes[spanclass]:,} B" if spanclass > 1 else "large"
        names.append(f"{what}, no pointers" if spanclass & 1 else what)
    return Grouping(names, rows)


def package_of_type(types: TypeTable, number: int) -> str:
    """Return the import path of the package that a type, as `Naming.type_of` numbers it, belongs to."""
    if number >= UNKNOWN or number < 2:
        return UNKNOWN_TYPES
    plain = number >> 1
    for _ in range(_MOST_NESTED):
        known = types[plain]
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
