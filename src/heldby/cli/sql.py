"""``heldby sql``: questions in SQL, one on the command line or many at a prompt."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

import click

from heldby.cli.group import Command
from heldby.cli.heap_source import HeapSource, heap_source
from heldby.cli.run import Run
from heldby.cli.tables import Output, table_output
from heldby.errors import UsageError

if TYPE_CHECKING:
    from heldby.sql.database import Database

_EXPLAIN: Final = re.compile(r"\s*explain\b", re.IGNORECASE)


@click.command(
    cls=Command,
    short_help="Any other question: the heap as tables in SQL.",
    examples=(
        (
            'heldby sql payments.core "SELECT type, sum(bytes) FROM objects WHERE live GROUP BY ALL ORDER BY 2 DESC"',
            "who has most, in SQL",
        ),
        ("heldby sql payments.core", "a prompt with completion: .help says more"),
    ),
)
@heap_source
@click.argument("query", metavar="[QUERY]", required=False)
@table_output
@click.pass_obj
def sql(run: Run, source: HeapSource, query: str | None, output: Output) -> None:
    """Ask the heap of TARGET in SQL, DuckDB's dialect.

    Tables: objects, types, fields, edges, roots, goroutines, spans, holders, sites, held, samples,
    strings, dominators.
    DESCRIBE objects lists columns; docs/sql.md says what they mean.
    Queries only read, and see nothing but these tables.

    Without QUERY there is a prompt; queries from a pipe are read up to their semicolons.
    """
    if query is not None and not query.strip():
        raise UsageError("the query is empty", next_step='try: heldby sql TARGET "SELECT * FROM holders"')
    if query is None and output.path is not None:
        raise UsageError("-o needs a query", next_step='heldby sql TARGET "SELECT ..." -o FILE')
    with run.working() as progress:
        heap = source.open(run, progress)
        from heldby.sql.database import Database

        database = Database(heap)
    if query is not None:
        answer(run, database, query, output)
        return
    from heldby.cli.prompt import Prompt

    Prompt(lambda text: answer(run, database, text, output), interactive=sys.stdin.isatty()).run()


def answer(run: Run, database: Database, query: str, output: Output) -> None:
    """Answer one query. Raises `UsageError` for a query that is wrong."""
    from heldby.sql.answers import ask

    table = ask(database, query, limit=output.rows)
    if _EXPLAIN.match(query) and output.format == "text" and output.path is None:
        from heldby.render.plain_text import printable

        for plan in table.columns[-1].to_list():
            for line in str(plan).splitlines():
                click.echo(printable(line))
        return
    output.write(run, table)
