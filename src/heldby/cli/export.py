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
    short_help="Write who holds what, or the heap profile, for pprof.",
    examples=(
        ("heldby export 4242 --pprof held.pb.gz && go tool pprof -http=: held.pb.gz", "look at it in pprof"),
        (
            "heldby export core.4242 --exe ./payments --as heap --pprof heap.pb.gz",
            "a core's /debug/pprof/heap",
        ),
        (
            "heldby export 4242 --as joined --pprof joined.pb.gz",
            "who allocated it and who keeps it, in one graph",
        ),
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
@click.option(
    "--as",
    "content",
    type=click.Choice(["holders", "heap", "joined"]),
    default="holders",
    show_default=True,
    help="Reference paths; the process's own heap profile; or allocation stacks with reference paths on top.",
)
@options.exe
@options.method("auto", "fork", "stop")
@options.cache
@options.force
@options.talk
@click.pass_obj
def export(
    run: Run,
    target: str,
    output: Path,
    content: str,
    exe: Path | None,
    method: Method,
    cache: bool,
    force: bool,
) -> None:
    """Write TARGET's heap as a profile for go tool pprof.

    holders: stacks are reference paths, and the cumulative value of a frame is what that place retains.
    Sample types: inuse_space, inuse_objects, and retained_space, whose flat value is what a holder retains.

    heap: the profile that the process itself would have served under /debug/pprof/heap at that moment.

    joined: below, the calls that allocated; above them, the reference paths to what they allocated; estimated.
    """
    refuse_existing(output, force=force)
    with run.working() as progress:
        heap = run.open_heap(target, exe=exe, method=method, cache=cache, progress=progress)
        from heldby.analysis import heap_profile_of, holder_profile_of, joined_profile_of

        if content == "heap":
            data = heap_profile_of(heap)
        elif content == "joined":
            data = joined_profile_of(heap, progress=progress)
        else:
            data = holder_profile_of(heap, progress=progress)
    write_file(output, data, force=force)
    run.tell(f"{output}: open it with  go tool pprof -http=: {output}")
