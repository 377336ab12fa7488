"""``heldby cost``: what small objects cost, and what the same data would take as texts."""

from __future__ import annotations

import click

from heldby.cli.group import Command
from heldby.cli.run import Run
from heldby.cli.tables import Opener, Output, question, table_output


@click.command(
    cls=Command,
    short_help="What small objects cost, and the same data as text.",
    examples=(
        ("heldby cost 4242", "pointers, headers, rounding by holder; the same data as JSON text"),
        ("heldby cost heap.core --limit 3 --format csv", "the three largest holders, exact numbers"),
    ),
)
@question
@table_output
@click.pass_obj
def cost(run: Run, opened: Opener, output: Output) -> None:
    """Say what the bytes of TARGET's holders are spent on.

    Data against pointers, headers of strings and slices, size-class rounding, spare capacity and empty map slots.
    Then what the same values would take as one JSON text, or packed, for each element: measured, not guessed.
    """
    from heldby.analysis.holding.ownership import ownership_of
    from heldby.analysis.small_objects.costs import cost_table, measure_costs

    with run.working() as progress:
        ownership = ownership_of(opened(progress).tree())
        limit = output.rows or len(ownership.rows)
        costs = measure_costs(ownership, texts=limit, progress=progress)
    if output.format == "text":
        from heldby.render.cost_screen import cost_screen

        output.write_screen(run, lambda width: cost_screen(costs, width=width, limit=limit))
    else:
        output.write(run, cost_table(costs))
