"""``heldby goroutines``: goroutines by stack, with what they keep, and those that nothing can wake."""

from __future__ import annotations

import click

from heldby.cli.group import Command
from heldby.cli.run import Run
from heldby.cli.tables import Filters, Opener, Output, filters, question, table_output


@click.command(
    cls=Command,
    short_help="Goroutines by stack, what each keeps, which are leaked.",
    examples=(
        ("heldby goroutines 4242", "which stacks keep most, and how long they have waited"),
        ("heldby goroutines core.4242 --leaked", "only goroutines that nothing can ever wake"),
    ),
)
@question
@click.option("--leaked", is_flag=True, help="Only goroutines that are leaked for certain.")
@click.option(
    "--function",
    metavar="PATTERN",
    help="Only stacks through this function or package; ... stands for any text: net/...",
)
@filters("min_size")
@table_output
@click.pass_obj
def goroutines(
    run: Run, opened: Opener, leaked: bool, function: str | None, filters: Filters, output: Output
) -> None:
    """Group the goroutines of TARGET by stack and say what each group keeps.

    Leaked goroutines are proven: each waits on a channel, mutex, wait group or condition that only goroutines like
    it can reach. Go 1.27's goroutineleak profile finds the same inside the process; here it works for every
    release, and after the fact.
    """
    from heldby.analysis.drilldown.goroutines import goroutines as ask
    from heldby.analysis.drilldown.goroutines import read_goroutine_stacks

    with run.working() as progress:
        heap = opened(progress).heap
        with progress.phase("stacks"):
            stacks = read_goroutine_stacks(heap)
        with progress.phase("leaks"):
            table = ask(
                stacks,
                only_leaked=leaked,
                function=function,
                min_size=filters.min_size,
                limit=output.rows,
            )
    output.write(run, table)
