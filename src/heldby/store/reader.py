"""Reading what is kept of one capture, and the way out when it turns out to be damaged: the capture itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heldby.heap.heap import Heap
from heldby.store.contents import DOCUMENTS, TABLES, Kept, file_of, results_of
from heldby.store.documents import read_document
from heldby.store.tables import Damaged, TableFile

_STRETCH: Final = 1 << 14


class Reader:
    """The columns and documents of one kept analysis.

    Every column is what was written, by checksum, or what a fresh analysis of the capture finds: an analysis is
    deterministic, so the two may be mixed.

    Args:
        folder: where the files are.
        manifest: what it says of them.
        analyse: makes a fresh heap of the same capture.
        damaged: is told, once, what is wrong with the files.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Mapping[str, Any],
        analyse: Callable[[], Heap],
        damaged: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._documents: Mapping[str, Mapping[str, int]] = manifest["documents"]
        self._files = {name: TableFile(folder / file_of(name), manifest["tables"][name]) for name in TABLES}
        self.sizes = {**manifest["sizes"], **{name: file.rows for name, file in self._files.items()}}
        self.facts: Mapping[str, Any] = manifest["facts"]
        self._analyse = analyse
        self._damaged = damaged
        self._fresh: Heap | None = None

    def column(self, table: str, name: str) -> NDArray[Any]:
        """Return a column of `contents.TABLES`. 1 to 2 ms for a million rows."""
        return self.columns(table, name)[name]

    def columns(self, table: str, *names: str) -> dict[str, NDArray[Any]]:
        """Return some columns of one of `contents.TABLES`, all of them if no name is given."""
        wanted = [column for column in TABLES[table] if not names or column.name in names]
        if self._fresh is None:
            try:
                return self._read(table, wanted)
            except Damaged as error:
                self.give_up(error)
        return {column.name: column.of(self.fresh) for column in wanted}

    def _read(self, table: str, wanted: Sequence[Kept]) -> dict[str, NDArray[Any]]:
        dtypes = {column.name: column.dtype for column in wanted}
        found = self._files[table].read(dtypes, [column.name for column in wanted if column.narrow])
        for column in wanted:
            values = found[column.name]
            if column.below is not None and _highest(values, column.none) >= column.below(self.sizes):
                raise Damaged(f"{table}.{column.name} leads nowhere")
        return found

    def document(self, name: str) -> Any:
        """Return a document of `contents.DOCUMENTS`."""
        if self._fresh is None:
            try:
                return read_document(self._folder / f"{name}.json", self._documents[name])
            except Damaged as error:
                self.give_up(error)
        return DOCUMENTS[name](self.fresh)

    def give_up(self, error: Exception) -> None:
        """Say what is wrong and read everything from the capture from now on."""
        self._damaged(str(error))
        self._fresh = self._analyse()
        results_of(self._fresh)

    @property
    def fresh(self) -> Heap:
        """The heap as the capture tells it, once `give_up` was called."""
        assert self._fresh is not None
        return self._fresh


def _highest(values: NDArray[Any], none: bool) -> int:
    """Return the highest value, -1 for no values; with `none`, NONE counts as -1."""
    if not values.size:
        return -1
    if not none:
        return int(values.max())
    # NONE and 1 is 0. In stretches that the CPU's caches hold.
    parts = (values[low : low + _STRETCH] + np.uint32(1) for low in range(0, values.size, _STRETCH))
    return max(int(part.max()) for part in parts) - 1
