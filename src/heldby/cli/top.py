"""``heldby top``: who has most, by type, package, module, holder, root, size class or goroutine."""

from __future__ import annotations

import click

from heldby.cli.group import Command
from heldby.cli.run import Run
from heldby.cli.tables import Filters, Opener, Output, filters, question, table_output
from heldby.errors import UsageError

_BY = ("type", "holder", "package", "module", "root", "size-class", "goroutine")


@click.command(
    cls=Command,
    short_help="Types, packages, roots or goroutines that have most.",
    examples=(
        ("heldby top core.4242 --by module --format json", "which Go module's types cost how much"),
        ("heldby top 4242 --holder main.manager.paths", "of what types is all that this field holds"),
        ("heldby top 4242 --by holder --type main.Entry", "who keeps the objects of this type"),
    ),
)
@question
@click.option(
    "--by",
    type=click.Choice(_BY),
    default="type",
    show_default=True,
    help="What a row stands for.",
)
@filters()
@click.option("--parts", is_flag=True, help="With --by type: parts of maps as rows of their own.")
@table_output
@click.pass_obj
def top(run: Run, opened: Opener, by: str, filters: Filters, parts: bool, output: Output) -> None:
    """Say who has most of the heap of TARGET: objects, shallow and retained bytes.

    Retained bytes of a row are exact: what would be freed if all of its objects went. Rows of types, packages,
    modules and size classes may contain one another; holders divide the heap, a byte in one row.
    """
    if parts and by != "type":
        raise UsageError("--parts goes with --by type", next_step="heldby top TARGET --parts")
    from heldby.analysis.drilldown.top import top as ask

    with run.working() as progress:
        heap = opened(progress).heap
        with progress.phase("retained sets"):
            table = ask(
                heap,
                by,
                selection=filters.selection(),
                min_size=filters.min_size,
                limit=output.rows,
                parts=parts,
            )
    output.write(run, table)
