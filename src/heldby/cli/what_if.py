"""``heldby what-if``: what would be freed without a reference."""

from __future__ import annotations

import click

from heldby.cli.group import Command
from heldby.cli.run import Run
from heldby.cli.tables import Filters, Opener, Output, filters, question, table_output


@click.command(
    cls=Command,
    name="what-if",
    short_help="What would be freed if a field, variable or goroutine let go.",
    examples=(
        ("heldby what-if 4242 --without main.manager.paths", "would clearing that field help?"),
        ("heldby what-if 4242 --without main.cache --without 'goroutine main.serve'", "both together"),
    ),
)
@question
@click.option(
    "--without",
    metavar="REFERENCE",
    multiple=True,
    required=True,
    help="A path, a variable, 'goroutine FUNCTION' or 'goroutine ID'; may be given several times.",
)
@filters()
@table_output
@click.pass_obj
def what_if(run: Run, opened: Opener, without: tuple[str, ...], filters: Filters, output: Output) -> None:
    """Say exactly what would be freed in TARGET if a field, a variable or goroutines let go, by type.

    A path means that field, element or variable in all objects that the path stands for. Several references go
    together: what two of them share is freed only then. Filters choose what is listed, not what is freed.
    """
    from heldby.analysis.drilldown.what_if import what_if as ask

    with run.working() as progress:
        heap = opened(progress).heap
        with progress.phase("what is left"):
            table = ask(heap, without, selection=filters.selection(), min_size=filters.min_size)
    output.write(run, table)
