"""``heldby export``: the heap in formats that other tools open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from heldby.cli import options
from heldby.cli.group import Command
from heldby.cli.heap_source import HeapSource, heap_source
from heldby.cli.run import Run, refuse_existing, write_file
from heldby.errors import UsageError

if TYPE_CHECKING:
    from heldby.heap import Heap
    from heldby.progress import Progress


@click.command(
    cls=Command,
    short_help="The heap for go tool pprof, or as Parquet tables.",
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
        ("heldby export payments.core --parquet tables", "the tables of heldby sql, for any engine"),
    ),
)
@heap_source
@options.written_file(
    "--pprof",
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
@options.written_file(
    "--parquet",
    folder=True,
    metavar="DIR",
    help="The folder to write: a Parquet file for each table of heldby sql.",
)
@click.option(
    "--strings", is_flag=True, help="With --parquet: also what the process's strings say, secrets included."
)
@options.force
@click.pass_obj
def export(
    run: Run,
    source: HeapSource,
    pprof: Path | None,
    content: str,
    parquet: Path | None,
    strings: bool,
    force: bool,
) -> None:
    """Write TARGET's heap as a profile for go tool pprof, as Parquet tables, or both.

    holders: stacks are reference paths, and the cumulative value of a frame is what that place retains.
    Sample types: inuse_space, inuse_objects, and retained_space, whose flat value is what a holder retains.

    heap: the profile that the process itself would have served under /debug/pprof/heap at that moment.

    joined: below, the calls that allocated; above them, the reference paths to what they allocated; estimated.

    --parquet: objects.parquet, edges.parquet and so on, and schema.json, which says what they mean.
    Contents of the process's memory are left out unless --strings asks for them.
    """
    if pprof is None and parquet is None:
        raise UsageError("there is nothing to write", next_step="say --pprof FILE or --parquet DIR")
    if strings and parquet is None:
        raise UsageError("--strings needs --parquet DIR", next_step="profiles hold no strings")
    if pprof is not None:
        refuse_existing(pprof, force=force)
    if parquet is not None:
        from heldby.sql.exporting import export_tables, refuse_folder

        refuse_folder(parquet, force=force)
    with run.working() as progress:
        heap = source.open(run, progress)
        if pprof is not None:
            write_file(pprof, _profile(heap, content, progress), force=force)
        if parquet is not None:
            export_tables(heap, parquet, strings=strings, force=force, progress=progress)
    if pprof is not None:
        run.tell(f"{pprof}: open it with  go tool pprof -http=: {pprof}")
    if parquet is not None:
        run.tell(f"{parquet}: a Parquet file for each table; {parquet}/schema.json says what they mean")


def _profile(heap: Heap, content: str, progress: Progress) -> bytes:
    from heldby.analysis.exports.exporting import heap_profile_of, holder_profile_of, joined_profile_of

    if content == "heap":
        return heap_profile_of(heap)
    if content == "joined":
        return joined_profile_of(heap, progress=progress)
    return holder_profile_of(heap, progress=progress)
