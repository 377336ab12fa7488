"""``heldby TARGET``: the first screen, or the same as JSON."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import click

from heldby.cli import options
from heldby.cli.group import Command
from heldby.cli.heap_source import HeapSource, heap_source
from heldby.cli.run import Run, output_console, refuse_output, write_file

if TYPE_CHECKING:
    from heldby.analysis.answer import Answer


@click.command(
    cls=Command,
    name="explain",
    short_help="The first screen: where it went, who holds it, what to change.",
    examples=(
        ("heldby explain 4242", "the same as heldby 4242; needed for a file that is called like a command"),
        ("heldby explain core.4242 --exe ./payments --limit 30", "a core from gcore, with more holders"),
    ),
)
@heap_source
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="A screen for people, or JSON of schema 1 with exact numbers.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Holders to list; 8 on the screen and all in JSON if not given.",
)
@click.option(
    "--src",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the Go source lies, if not where it was built.",
)
@options.output()
@options.force
@click.pass_obj
def explain(
    run: Run,
    source: HeapSource,
    output_format: str,
    limit: int | None,
    src: Path | None,
    output: Path | None,
    force: bool,
) -> None:
    """Say who holds the memory of TARGET, and where the rest of it went.

    TARGET is a PID, a core file or a file that heldby capture wrote; its content decides.
    """
    refuse_output(output, force=force)
    with run.working() as progress:
        heap = source.open(run, progress)
        from heldby.analysis.answering import answer_of
        from heldby.analysis.statements.source_statements import with_source
        from heldby.source import SourceLines

        answer = answer_of(heap, progress=progress)
        with progress.phase("source"):
            answer = with_source(answer, SourceLines(src))
    if output is None:
        show(run, answer, output_format, limit)
    else:
        write_file(output, as_text(run, answer, output_format, limit).encode(), force=force)


def show(run: Run, answer: Answer, output_format: str, limit: int | None) -> None:
    """Print `answer` on stdout."""
    if output_format == "json":
        from heldby.render.json_output import to_json

        click.echo(to_json(answer, limit=limit), nl=False)
        return
    from heldby.render.first_screen import print_first_screen

    print_first_screen(output_console(), answer, limit=limit, all_caveats=run.verbose)


def as_text(run: Run, answer: Answer, output_format: str, limit: int | None) -> str:
    """Return what `show` prints, without colours."""
    if output_format == "json":
        from heldby.render.json_output import to_json

        return to_json(answer, limit=limit)
    from heldby.render.first_screen import print_first_screen

    file = io.StringIO()
    print_first_screen(output_console(file), answer, limit=limit, all_caveats=run.verbose)
    return file.getvalue()
