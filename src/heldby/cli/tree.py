"""``heldby tree``: the dominator tree, merged by path or object by object."""

from __future__ import annotations

import click

from heldby.cli.group import Command
from heldby.cli.run import Run
from heldby.cli.tables import Filters, Opener, Output, filters, question, table_output


@click.command(
    cls=Command,
    short_help="Who holds what, level by level, down to single objects.",
    examples=(
        ("heldby tree 4242 main.manager --depth 5", "what that variable holds, five levels down"),
        ("heldby tree core.4242 'main.manager.paths[*]' --objects", "the largest objects of that path"),
        ("heldby tree 4242 --type main.Entry", "the branches that lead to the objects of this type"),
    ),
)
@question
@click.argument("node", metavar="[NODE]", required=False)
@click.option(
    "--depth", type=click.IntRange(0, 64), metavar="N", default=3, show_default=True, help="Levels to show."
)
@click.option(
    "--width",
    type=click.IntRange(min=1),
    metavar="N",
    default=10,
    show_default=True,
    help="Children of each node.",
)
@click.option("--objects", is_flag=True, help="Single objects instead of paths.")
@filters()
@table_output
@click.pass_obj
def tree(
    run: Run,
    opened: Opener,
    node: str | None,
    depth: int,
    width: int,
    objects: bool,
    filters: Filters,
    output: Output,
) -> None:
    """Show the dominator tree of TARGET: who holds what, largest first.

    NODE is a path as heldby prints it, or an address; without it the tree begins at the roots. What a line retains
    is held by it alone, and is part of what the line above it holds.
    """
    from heldby.analysis.drilldown.tree import MOST_LINES, merged_tree, object_tree

    with run.working() as progress:
        heap = opened(progress).heap
        with progress.phase("holders"):
            objects = objects or (node or "").lower().startswith("0x")
            if objects:
                table = object_tree(
                    heap,
                    node,
                    depth=depth,
                    width=width,
                    min_size=filters.min_size or 0,
                    selection=filters.selection(),
                )
            else:
                most = output.rows or MOST_LINES
                table = merged_tree(
                    heap,
                    node,
                    depth=depth,
                    width=width,
                    min_size=filters.min_size or 1,
                    most=most,
                    selection=filters.selection(),
                )
    output.write(run, table, limited=objects)
