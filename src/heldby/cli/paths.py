"""``heldby paths``: the shortest ways from the roots to objects."""

from __future__ import annotations

import click

from heldby.cli.group import Command
from heldby.cli.run import Run
from heldby.cli.tables import Filters, Opener, Output, filters, question, table_output
from heldby.errors import UsageError


@click.command(
    cls=Command,
    short_help="Why objects live: the shortest ways from the roots.",
    examples=(
        ("heldby paths 4242 main.Entry --strong", "why entries live, pools and caches left out"),
        ("heldby paths core.4242 0xc000123450 --all-roots", "every root that reaches this object"),
    ),
)
@question
@click.argument("what", metavar="TYPE|ADDR|HOLDER")
@click.option("--all-roots", is_flag=True, help="The shortest way from each root, not only from the nearest.")
@click.option(
    "--strong",
    is_flag=True,
    help="Without ways that go by themselves: pools, finalizers, caches of reflect and encoding, the runtime's.",
)
@filters()
@table_output
@click.pass_obj
def paths(
    run: Run, opened: Opener, what: str, all_roots: bool, strong: bool, filters: Filters, output: Output
) -> None:
    """Show the shortest ways from the roots of TARGET to objects, merged by signature.

    The objects are those of a type (main.Entry, or a pattern like []main...), the one at an address, or those on a
    path as heldby prints it; the other options choose among them.
    """
    if all_roots and filters.min_size is not None:
        raise UsageError(
            "--min-size has no meaning with --all-roots",
            cause="its rows are roots that reach the objects, not parts of their bytes",
            next_step="leave one of the two out",
        )
    from heldby.analysis.drilldown.paths import paths as shortest
    from heldby.analysis.drilldown.paths import paths_of_all_roots

    with run.working() as progress:
        heap = opened(progress).heap
        with progress.phase("paths"):
            selection = filters.selection()
            if all_roots:
                table = paths_of_all_roots(heap, what, strong=strong, selection=selection)
            else:
                table = shortest(heap, what, strong=strong, selection=selection, min_size=filters.min_size)
    output.write(run, table)
