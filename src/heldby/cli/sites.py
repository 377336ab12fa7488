"""``heldby sites``: where memory was allocated, and who holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from heldby.cli.group import Command
from heldby.cli.run import Run
from heldby.cli.tables import Filters, Opener, Output, filters, question, table_output

if TYPE_CHECKING:
    from heldby.analysis.allocation.site_table import By


@click.command(
    cls=Command,
    short_help="Where it was allocated, with who holds it now.",
    examples=(
        ("heldby sites 4242 --site encoding/json", "who keeps what encoding/json allocated"),
        (
            "heldby sites core.4242 --holder main.manager.paths",
            "where all that this field holds was allocated",
        ),
    ),
)
@question
@click.option(
    "--by",
    type=click.Choice(["line", "function", "package", "stack"]),
    default="line",
    show_default=True,
    help="What a site is; line, function and package are those of the innermost call.",
)
@click.option(
    "--site",
    metavar="PATTERN",
    help="Only stacks through this function or package; ... stands for any text: net/...",
)
@filters()
@table_output
@click.pass_obj
def sites(run: Run, opened: Opener, by: By, site: str | None, filters: Filters, output: Output) -> None:
    """Say for each place where TARGET allocated who holds the objects now, garbage included.

    The runtime's memory profile samples allocations, so bytes are estimates, scaled as pprof scales them. What no
    pair of site and holder has samples of is not listed.
    """
    with run.working() as progress:
        found = opened(progress)
        from heldby.analysis.allocation.site_table import site_outline, site_pairs

        ask = site_outline if output.format == "text" else site_pairs
        table = ask(found.tree(), by=by, site=site, selection=filters.selection(), min_size=filters.min_size)
    output.write(run, table)
