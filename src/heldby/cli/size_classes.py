"""``heldby size-classes``: how full the spans are, and which types pin those that are nearly empty."""

from __future__ import annotations

import click

from heldby.cli.group import Command
from heldby.cli.run import Run
from heldby.cli.tables import Filters, Opener, Output, filters, question, table_output


@click.command(
    cls=Command,
    name="size-classes",
    short_help="How full the spans are, and what pins nearly empty ones.",
    examples=(
        ("heldby size-classes 4242", "spans, free slots and how full they are, by size class"),
        ("heldby size-classes heap.core --by type", "the types whose objects keep nearly empty spans"),
    ),
)
@question
@click.option(
    "--by",
    type=click.Choice(["class", "type"]),
    default="class",
    show_default=True,
    help="Rows: size classes, or the types of the objects in spans at most 25% full.",
)
@filters()
@table_output
@click.pass_obj
def size_classes(run: Run, opened: Opener, by: str, filters: Filters, output: Output) -> None:
    """Say how full the spans of TARGET's heap are.

    A span is given back only when nothing in it lives: a few objects, left over from many, keep 8 KiB each. With
    filters the spans count in which such objects lie.
    """
    from heldby.analysis.small_objects.size_classes import for_screen, pinning_table, size_class_table

    with run.working() as progress:
        heap = opened(progress).heap
        with progress.phase("size classes"):
            ask = size_class_table if by == "class" else pinning_table
            table = ask(heap, selection=filters.selection(), min_size=filters.min_size)
    output.write(run, for_screen(table) if by == "class" and output.format == "text" else table)
