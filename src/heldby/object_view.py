"""`ObjectView`: one object of a heap in Python, as ``heap.object(address)`` returns it."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heldby.analysis.drilldown.object_report import ObjectReport
    from heldby.analysis.table import Table
    from heldby.golang.values import Value
    from heldby.heap import Heap


class ObjectView:
    """An object: its type, its fields, what it retains and who keeps it. Each is worked out when it is first read.

    Args:
        heap: the heap.
        address: anywhere in the object, or in a global variable.
        depth: references that `fields` and `value` follow.
        items: elements and entries that they have of each slice and map.
        text: bytes that they have of each string.

    Example:
        >>> entry = heap.object(0xc000123450)       # doctest: +SKIP
        >>> entry.fields["Seen"].length             # doctest: +SKIP
        9104
        >>> entry.value["Name"]                     # doctest: +SKIP
        'orders.eu'
    """

    def __init__(
        self, heap: Heap, address: int, *, depth: int = 2, items: int = 1000, text: int = 1 << 16
    ) -> None:
        from heldby.golang.values import Limits

        self._heap = heap
        self._asked = address
        self._limits = Limits(depth=depth, items=items, text=text, values=1_000_000)
        self._value, self.address, self.type = self._read()

    def _read(self) -> tuple[Value, int, str]:
        from heldby.analysis.drilldown.object_report import value_at

        return value_at(self._heap, self._asked, self._limits)

    @property
    def go(self) -> Value:
        """The value as Go has it: form, type, address and parts of all that was read."""
        return self._value

    @property
    def fields(self) -> Mapping[str, Value]:
        """The fields by name, unexported too; of a closure what it captured. Empty for what has none."""
        return self._value.fields

    @property
    def value(self) -> Any:
        """The value in Python's own types, see `Value.python`."""
        return self._value.python

    @cached_property
    def report(self) -> ObjectReport:
        """All that is known of the object. Three passes over the references, 0.3 s for 10 million objects."""
        from heldby.analysis.drilldown.object_report import object_report
        from heldby.analysis.holding.holder_tree import build_holder_tree

        return object_report(
            self._heap, build_holder_tree(self._heap), self._asked, limits=self._limits, referrers=1000
        )

    @property
    def live(self) -> bool:
        """Whether anything reaches it; otherwise it is garbage."""
        return self.report.live

    @property
    def shallow_bytes(self) -> int:
        """Bytes of its slot."""
        return self.report.shallow_bytes

    @property
    def retained_bytes(self) -> int | None:
        """Bytes that would be freed with it, its own included; None for garbage."""
        return self.report.retained_bytes

    @property
    def path(self) -> str | None:
        """The merged path that it lies at, as ``heldby tree`` prints it; None for garbage."""
        return self.report.path

    @property
    def referrers(self) -> Table | None:
        """Who refers to it, by field: the 1,000 that retain most. None for a variable."""
        table = self.report.referrers
        return None if table is None else table.with_losses(self._heap.losses)

    def __repr__(self) -> str:
        return f"<{self.type} at {self.address:#x}>"

    def _repr_html_(self) -> str:
        import html

        from heldby.analysis.table import Table, text_column
        from heldby.sql.html_table import table_to_html

        fields = self.fields or {"": self._value}
        table = Table(
            "object",
            (
                text_column("field", list(fields)),
                text_column("type", [value.type for value in fields.values()]),
                text_column("value", [value.text or reprlib.repr(value.python) for value in fields.values()]),
            ),
        )
        return f"<p>{html.escape(f'{self.type} at {self.address:#x}')}</p>{table_to_html(table)}"
