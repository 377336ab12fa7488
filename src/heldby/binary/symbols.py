"""`SymbolTable`: the symbols of an ELF file as arrays; a large program has a few hundred thousand."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heldby.memory.image import Bytes

KIND_OBJECT: Final = 1
KIND_FUNCTION: Final = 2
_SYMBOL: Final = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
)
_MAX_SPELLINGS = 10_000


class SymbolTable:
    """Defined symbols, sorted by address; names are decoded when they are asked for.

    Attributes:
        addresses: ``uint64[count]``, static, ascending.
        sizes: ``uint64[count]`` bytes.
        kinds: ``uint8[count]``, `KIND_OBJECT`, `KIND_FUNCTION` or another ``STT_*``.

    Args:
        entries: the bytes of ``.symtab``.
        strings: the bytes of its string table.
    """

    def __init__(self, entries: Bytes, strings: Bytes) -> None:
        whole = entries[: entries.size // _SYMBOL.itemsize * _SYMBOL.itemsize]
        records: NDArray[Any] = np.frombuffer(whole.tobytes(), _SYMBOL)
        records = records[(records["section"] != 0) & (records["info"] & 15 <= KIND_FUNCTION)]
        records = records[records["name"] < max(strings.size, 1)]
        records = records[np.argsort(records["value"], kind="stable")]
        self._strings = strings
        self._names: NDArray[np.uint32] = np.ascontiguousarray(records["name"])
        self.addresses: NDArray[np.uint64] = np.ascontiguousarray(records["value"])
        self.sizes: NDArray[np.uint64] = np.ascontiguousarray(records["size"])
        self.kinds: NDArray[np.uint8] = records["info"] & np.uint8(15)

    @property
    def count(self) -> int:
        """How many symbols there are."""
        return len(self.addresses)

    @cached_property
    def _text(self) -> bytes:
        return self._strings.tobytes()

    def name(self, index: int) -> str:
        """Return the name of symbol `index`."""
        start = int(self._names[index])
        end = self._text.find(b"\0", start, start + 65536)
        return self._text[start : end if end >= 0 else start + 65536].decode("utf-8", "replace")

    def find(self, name: str) -> int | None:
        """Return the index of the symbol called `name`, or None.

        One search through the string table (a millisecond per 5 MB), no dictionary of all names.
        """
        wanted = name.encode() + b"\0"
        position = self._text.find(wanted)
        for _ in range(_MAX_SPELLINGS):
            if position < 0:
                return None
            found = np.flatnonzero(self._names == position)  # linkers share tails: "a.b" may end "xa.b"
            if found.size:
                return int(found[0])
            position = self._text.find(wanted, position + 1)
        return None

    def address_of(self, name: str) -> int | None:
        """Return the static address of the symbol called `name`, or None."""
        index = self.find(name)
        return None if index is None else int(self.addresses[index])

    def at(self, address: int) -> int | None:
        """Return the index of the symbol that covers `address`, or None.

        A symbol without a size covers its own address only. Of several that start at one address the
        largest is taken.
        """
        stop = int(np.searchsorted(self.addresses, np.uint64(address & (2**64 - 1)), "right"))
        if stop == 0:
            return None
        start = int(np.searchsorted(self.addresses, self.addresses[stop - 1], "left"))
        index = start + int(np.argmax(self.sizes[start:stop]))
        begin, size = int(self.addresses[index]), int(self.sizes[index])
        return index if address < begin + max(size, 1) else None

    def objects(self) -> NDArray[np.int64]:
        """Return the indexes of the data symbols (variables) by address, ``int64[objects]``."""
        return np.flatnonzero(self.kinds == KIND_OBJECT)
