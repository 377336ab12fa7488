"""``heldby find``: objects by what their fields say, and strings by what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from heldby.cli.group import Command
from heldby.cli.run import Run
from heldby.cli.tables import Filters, Opener, Output, filters, question, table_output
from heldby.errors import UsageError

if TYPE_CHECKING:
    from heldby.analysis.drilldown.string_search import TextScope
    from heldby.heap import Heap


@click.command(
    cls=Command,
    short_help="Objects by what their fields hold, strings by their text.",
    examples=(
        (
            """heldby find 4242 --type main.Entry --where "Count > 100 AND Name LIKE 'x%'\"""",
            "entries whose fields fit, those that retain most first",
        ),
        ("heldby find core.4242 --string 'order-[0-9]+'", "who holds strings like that"),
    ),
)
@question
@filters()
@click.option(
    "--where",
    metavar="CONDITION",
    help="SQL over the fields of the type: Inner.Count > 1, Tags.len = 0, Next IS NULL, Err.type = '*fs.PathError'.",
)
@click.option(
    "--string",
    "pattern",
    metavar="TEXT|REGEX",
    help="Strings and byte slices of the live heap that hold this text, or match it.",
)
@table_output
@click.pass_obj
def find(
    run: Run, opened: Opener, filters: Filters, where: str | None, pattern: str | None, output: Output
) -> None:
    """Find live objects of TARGET of one type whose fields fit, or strings and who holds them.

    Elements of slices are found one by one, up to the capacity. A word of SQL that is a field too stands in double
    quotes: "order" > 5. The object has address, retained_bytes and object_bytes; beside a field of that name the
    object's is address_2.
    With --string, --type and --package are for the objects that have the strings, --holder for where the texts lie.
    """
    if (pattern is None and filters.type is None) or (pattern is not None and where is not None):
        raise UsageError(
            "give a type, or a text to search for",
            next_step="heldby find TARGET --type main.Entry --where 'Count > 100', or --string TEXT",
        )
    with run.working() as progress:
        found = opened(progress)
        if pattern is not None:
            from heldby.analysis.drilldown.string_search import find_text

            tree = found.tree()
            with progress.phase("strings"):
                table = find_text(
                    found.heap, tree, pattern, scope=_scope(found.heap, filters), limit=output.rows
                )
        else:
            from heldby.sql.object_search import find_objects

            table, rows = find_objects(
                found.heap,
                filters.selection(),
                where,
                min_size=filters.min_size,
                limit=output.rows,
                progress=progress,
            )
            if output.format == "text":
                from heldby.heap.values import values_of
                from heldby.render.value_lines import with_values

                table = with_values(table, values_of(found.heap), rows.type, rows.address.tolist())
    output.write(run, table)


def _scope(heap: Heap, filters: Filters) -> TextScope:
    from heldby.analysis.drilldown.selection import Selection
    from heldby.analysis.drilldown.string_search import TextScope

    sources = Selection(package=filters.package, type=filters.type)
    texts = Selection(holder=filters.holder)
    return TextScope(
        sources=sources.objects(heap) if sources else None,
        texts=texts.objects(heap) if texts else None,
        least_bytes=filters.min_size or 0,
    )
