"""Global variables: where they lie, what they are called, which of them the runtime keeps for itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables:
    """Global variables by address, as columns of length v.

    Attributes:
        start: first byte, at run time.
        size: bytes; at least 1.
        names: as Go spells them (``main.manager``), or section and offset (``bss+0x1f40``) when nobody knows.
        runtime_owned: variables of package runtime and of what it is made of.
        types: ``uint32[v]``, type numbers, 0 where a variable's type is unknown.
        nameless: which names are made up from the address.
    """

    start: NDArray[np.uint64]
    size: NDArray[np.uint64]
    names: list[str]
    runtime_owned: NDArray[np.bool_]
    types: NDArray[np.uint32]
    nameless: NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.start.size)

    def at(self, addrs: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the row of the variable that covers each address, or -1."""
        row = np.searchsorted(self.start, addrs, side="right") - 1
        covered = (
            (row >= 0) & (addrs < self.start[row] + self.size[row]) if len(self) else np.zeros(0, np.bool_)
        )
        return np.where(covered, row, -1) if len(self) else np.full(addrs.size, -1, np.int64)


def is_runtime_name(name: str) -> bool:
    """Tell whether a variable or function belongs to package runtime or to the packages it is made of."""
    return name.startswith(
        ("runtime.", "runtime/internal/", "internal/runtime/", "internal/abi.", "internal/cpu.")
    )
