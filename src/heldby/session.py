"""`Session`: what `heldby.open` returns, a heap with its tables."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from heldby.progress import QUIET, Progress
from heldby.units import format_bytes

if TYPE_CHECKING:
    from heldby.analysis.answer import Answer
    from heldby.heap import Heap
    from heldby.object_view import ObjectView
    from heldby.source import SourceLines
    from heldby.sql.database import Database
    from heldby.sql.relation import Relation


class Session:
    """A heap that was opened, and its tables.

    Tables are relations: nothing is computed before rows are read, `where` and `select` narrow them, pandas,
    polars, pyarrow and DuckDB read them by the Arrow C stream interface, and notebooks show them. docs/sql.md
    describes their columns and units.

    Attributes:
        heap: the `Heap` that all commands read: arrays of objects, references, types and roots.

    Example:
        >>> import heldby
        >>> heap = heldby.open("payments.core")                     # doctest: +SKIP
        >>> heap.holders                                            # doctest: +SKIP
        >>> polars.DataFrame(heap.objects.where(type="main.Entry")) # doctest: +SKIP
        >>> heap.sql("SELECT type, sum(bytes) FROM objects GROUP BY ALL")  # doctest: +SKIP
    """

    def __init__(self, heap: Heap, progress: Progress = QUIET, source: SourceLines | None = None) -> None:
        self.heap = heap
        self._progress = progress
        self._source = source

    @cached_property
    def answer(self) -> Answer:
        """The first screen as plain values: where the memory went, who holds it, what to change.

        The texts of statements are read from the source, where it was built or in the folder given as `src`.
        Read where it was kept; otherwise O(vertices + references), 2 s for 10 million objects.
        """
        from heldby.analysis.answering import answer_of
        from heldby.analysis.statements.source_statements import with_source
        from heldby.source import SourceLines

        answer = answer_of(self.heap, progress=self._progress)
        return with_source(answer, self._source or SourceLines())

    @cached_property
    def database(self) -> Database:
        """DuckDB over the tables."""
        from heldby.sql.database import Database

        return Database(self.heap)

    def sql(self, query: str) -> Relation:
        """Return the answer to a query in DuckDB's SQL over the tables; read-only, and nothing else is visible.

        Raises:
            UsageError: the query is wrong; the message says what is close to what was written.
        """
        from heldby.sql.relation import relation_of_query

        return relation_of_query(self.database, query)

    def _table(self, name: str) -> Relation:
        from heldby.sql.relation import relation_of_table

        return relation_of_table(self.database, name)

    def object(self, address: int, **limits: int) -> ObjectView:
        """Return the object, or global variable, that holds the byte at `address`; `limits` as for `ObjectView`.

        Raises:
            UsageError: neither lies there; the message says what does.
        """
        from heldby.object_view import ObjectView

        return ObjectView(self.heap, address, **limits)

    @property
    def objects(self) -> Relation:
        """Every allocated slot, garbage included: address, bytes, type, live, retained bytes, holder, path.

        0.1 s a column for 10 million objects; `path` and `holder` need the merged paths (2 s unless kept).
        """
        return self._table("objects")

    @property
    def types(self) -> Relation:
        """The types that objects have, with how many live objects and bytes of each; 0.3 s for 10 million objects."""
        return self._table("types")

    @property
    def fields(self) -> Relation:
        """The fields of all struct types of the program, with offsets and sizes in bytes; 10 µs a type."""
        return self._table("fields")

    @property
    def edges(self) -> Relation:
        """Every reference: from which object or root, by which field, to which; 0.2 s a column for 10 million."""
        return self._table("edges")

    @property
    def roots(self) -> Relation:
        """Global variables, goroutines and specials, with the bytes that each retains."""
        return self._table("roots")

    @property
    def goroutines(self) -> Relation:
        """The goroutines that are not dead, with what they wait for and the bytes that they retain."""
        return self._table("goroutines")

    @property
    def spans(self) -> Relation:
        """The runtime's spans: bytes, slot size, slots and how many of them are taken."""
        return self._table("spans")

    @property
    def holders(self) -> Relation:
        """Who holds the live heap, as on the first screen: every live byte belongs to exactly one row."""
        return self._table("holders")

    @property
    def sites(self) -> Relation:
        """The allocation sites of the runtime's memory profile; bytes and objects are estimates from samples."""
        return self._table("sites")

    @property
    def held(self) -> Relation:
        """What each holder holds of what each site allocated: estimates from samples."""
        return self._table("held")

    @property
    def samples(self) -> Relation:
        """The sampled objects that still exist, each with its site."""
        return self._table("samples")

    @property
    def strings(self) -> Relation:
        """The string values in objects and variables, with their texts: contents of the process's memory.

        Half a microsecond and 100 bytes a string.
        """
        return self._table("strings")

    @property
    def dominators(self) -> Relation:
        """Each live object with its dominator, the object or root that alone keeps it, and its retained bytes."""
        return self._table("dominators")

    def __repr__(self) -> str:
        from heldby.analysis.process_facts import process_facts

        facts = process_facts(self.heap.process.core, self.heap.process)
        return f"<heldby.Session of {facts.name} ({facts.go_version}): {self.heap.object_count:,} objects>"

    def _repr_html_(self) -> str:
        import html

        live = self.answer.heap.live_bytes
        said = f"{format_bytes(live)} live" if live is not None else ""
        return f"<p>{html.escape(repr(self))} {said}</p>{self.holders._repr_html_()}"
