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
        used_at: ``uint64[v]``, start of the variable whose users are this one's: its own, or that of the
            variable that points to it, for a value that no code refers to.
    """

    start: NDArray[np.uint64]
    size: NDArray[np.uint64]
    names: list[str]
    runtime_owned: NDArray[np.bool_]
    types: NDArray[np.uint32]
    nameless: NDArray[np.bool_]
    used_at: NDArray[np.uint64]

    @classmethod
    def of(
        cls,
        start: NDArray[np.uint64],
        size: NDArray[np.uint64],
        names: list[str],
        *,
        types: NDArray[np.uint32] | None = None,
    ) -> Variables:
        """Return variables that have names, by address."""
        return cls(
            start=start,
            size=size,
            names=names,
            runtime_owned=np.array([is_runtime_name(name) for name in names], np.bool_),
            types=np.zeros(len(names), np.uint32) if types is None else types,
            nameless=np.zeros(len(names), np.bool_),
            used_at=start,
        )

    def take(self, rows: NDArray[np.intp]) -> Variables:
        """Return some of the variables, in the order of `rows`."""
        return Variables(
            start=self.start[rows],
            size=self.size[rows],
            names=[self.names[row] for row in rows.tolist()],
            runtime_owned=self.runtime_owned[rows],
            types=self.types[rows],
            nameless=self.nameless[rows],
            used_at=self.used_at[rows],
        )

    def joined(self, other: Variables) -> Variables:
        """Return these variables and those of `other`, by address."""
        both = Variables(
            start=np.concatenate((self.start, other.start)),
            size=np.concatenate((self.size, other.size)),
            names=[*self.names, *other.names],
            runtime_owned=np.concatenate((self.runtime_owned, other.runtime_owned)),
            types=np.concatenate((self.types, other.types)),
            nameless=np.concatenate((self.nameless, other.nameless)),
            used_at=np.concatenate((self.used_at, other.used_at)),
        )
        return both.take(np.argsort(both.start, kind="stable"))

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
