"""``heldby object``: what lies at an address."""

from __future__ import annotations

from pathlib import Path

import click

from heldby.cli import options
from heldby.cli.group import Command
from heldby.cli.run import Run
from heldby.cli.tables import FORMATS, Opener, Output, question


@click.command(
    "object",
    cls=Command,
    short_help="One object: its fields as Go prints them, who keeps it, why.",
    examples=(
        ("heldby object 4242 0xc000123450", "what lies there, what it retains, who refers to it"),
        ("heldby object core.4242 0xc000123450 --depth 4 --format json", "its value as a typed tree"),
    ),
)
@question
@click.argument("addrs", metavar="ADDR...", nargs=-1, required=True, type=options.address)
@click.option(
    "--depth",
    type=click.IntRange(0, 32),
    metavar="N",
    default=1,
    show_default=True,
    help="How many references to follow, one after the other.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    metavar="N",
    default=10,
    show_default=True,
    help="Elements and entries to show of each slice and map, and who refers to it.",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="A screen for people, exact values as a tree, or as a table.",
)
@options.output()
@options.force
@click.pass_obj
def object_value(
    run: Run,
    opened: Opener,
    addrs: tuple[int, ...],
    depth: int,
    limit: int,
    output_format: str,
    output: Path | None,
    force: bool,
) -> None:
    """Show the object of TARGET that holds the byte at ADDR: type, fields with their values, size, and who keeps it.

    ADDR may lie anywhere in the object, and may be that of a global variable. Garbage is shown too and says so. What
    was not captured is <not captured>, never a value.
    """
    place = Output(output_format, output, force, limit)
    place.check()
    with run.working() as progress:
        found = opened(progress)
        from heldby.analysis.drilldown.object_report import object_report
        from heldby.golang.values import Limits

        tree = found.tree()
        limits = Limits(depth=depth, items=limit, text=256 if output_format == "text" else 4096)
        with progress.phase("object"):
            reports = [
                object_report(found.heap, tree, addr, limits=limits, referrers=limit) for addr in addrs
            ]
    from heldby.render.object_screen import object_document, object_screen

    if output_format in ("csv", "parquet"):
        from heldby.render.value_table import object_table

        place.write(run, object_table(reports), limited=False)
        return
    if output_format == "json":
        import json

        place.write_text(json.dumps(object_document(reports, run.losses), indent=2) + "\n")
        return
    from rich.text import Text

    place.write_screen(
        run, lambda width: Text("\n\n").join(object_screen(report, width) for report in reports)
    )
