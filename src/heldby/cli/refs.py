"""``heldby refs``: who refers to an object, and what it refers to."""

from __future__ import annotations

import click

from heldby.cli import options
from heldby.cli.group import Command
from heldby.cli.run import Run
from heldby.cli.tables import Filters, Opener, Output, filters, question, table_output


@click.command(
    cls=Command,
    short_help="Who refers to one object, or what it refers to.",
    examples=(
        ("heldby refs 4242 0xc000123450", "who refers to this object, by field"),
        ("heldby refs core.4242 0xc000123450 --out", "what it refers to"),
    ),
)
@question
@click.argument("addr", metavar="ADDR", type=options.address)
@click.option("--in/--out", "into", default=True, help="References to the object (the default), or its own.")
@filters()
@table_output
@click.pass_obj
def refs(run: Run, opened: Opener, addr: int, into: bool, filters: Filters, output: Output) -> None:
    """List every reference to the object at ADDR of TARGET, or from it, by the field that holds it.

    ADDR may lie anywhere in the object. Filters are for what stands at the other end of a reference.
    """
    from heldby.analysis.drilldown.references import references

    with run.working() as progress:
        heap = opened(progress).heap
        with progress.phase("references"):
            table = references(
                heap,
                addr,
                into=into,
                selection=filters.selection(),
                min_size=filters.min_size or 0,
                limit=output.rows,
            )
    output.write(run, table)
