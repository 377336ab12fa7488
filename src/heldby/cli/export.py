"""``heldby export``: the holders in a format that other tools open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from heldby.cli import options
from heldby.cli.group import Command
from heldby.cli.run import Run, refuse_existing, write_file

if TYPE_CHECKING:
    from heldby.api import Method


@click.command(
    cls=Command,
    short_help="Write who holds what as a pprof profile.",
    examples=(
        ("heldby export 4242 --pprof held.pb.gz && go tool pprof -http=: held.pb.gz", "look at it in pprof"),
        ("heldby export core.4242 --exe ./payments --pprof held.pb.gz --force", "from a core, again"),
    ),
)
@options.target
@click.option(
    "--pprof",
    "output",
    required=True,
    type=options.FILE,
    metavar="FILE",
    help="The profile to write, by habit with the ending .pb.gz.",
)
@options.exe
@options.method("auto", "fork", "stop")
@options.cache
@options.force
@options.talk
@click.pass_obj
def export(
    run: Run, target: str, output: Path, exe: Path | None, method: Method, cache: bool, force: bool
) -> None:
    """Write the reference paths of TARGET's heap as stacks, for go tool pprof.

    The cumulative value of a frame is what that place retains.
    Sample types: inuse_space, inuse_objects, and retained_space, whose flat value is what a holder retains.
    """
    refuse_existing(output, force=force)
    with run.working() as progress:
        heap = run.open_heap(target, exe=exe, method=method, cache=cache, progress=progress)
        from heldby.analysis import holder_profile_of

        data = holder_profile_of(heap, progress=progress)
    write_file(output, data, force=force)
    run.tell(f"{output}: open it with  go tool pprof -http=: {output}")
