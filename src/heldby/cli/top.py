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
@filters("package", "type", "holder", "min_size")
@table_output
@click.pass_obj
def top(run: Run, opened: Opener, by: str, filters: Filters, output: Output) -> None:
    """Say who has most of the heap of TARGET: objects, shallow and retained bytes.

    Retained bytes of a row are exact: what would be freed if all of its objects went. Rows of types, packages,
    modules and size classes may contain one another; holders divide the heap, a byte in one row.
    """
    chosen = filters.package or filters.type or filters.holder
    if chosen and by in ("holder", "root", "goroutine"):
        raise UsageError(
            f"--package, --type and --holder choose objects, which --by {by} does not list",
            next_step="list the objects of a holder by type: heldby top TARGET --holder PATH",
        )
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
            )
    output.write(run, table)
