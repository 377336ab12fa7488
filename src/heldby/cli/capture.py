"""``heldby capture``: a process into a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from heldby.cli import options
from heldby.cli.group import Command
from heldby.cli.run import Run, refuse_existing
from heldby.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from heldby.api import Method


@click.command(
    cls=Command,
    short_help="A process as a core file, to be read later or elsewhere.",
    examples=(
        ("heldby capture 4242 -o payments.core", "capture now, to be read on another machine"),
        ("heldby capture 4242 -o payments.core --method stop", "where the process may not be forked"),
    ),
)
@options.pid
@options.written_file("-o", "--output", required=True, metavar="FILE", help="Where the capture goes.")
@options.method("auto", "fork", "stop")
@options.force
@options.talk
@click.pass_obj
def capture(run: Run, pid: int, output: Path, method: Method, force: bool) -> None:
    """Capture process PID into FILE, an ELF core that gdb and delve open too.

    FILE can be read on any machine with nothing but itself.
    It holds the process's memory, secrets included; only you can read it (mode 0600).
    """
    refuse_existing(output, force=force)
    from heldby.capture import capture_process
    from heldby.render.plain_text import printable

    with run.working() as progress:
        taken = capture_process(pid, output, method=method, force=force, progress=progress)
    if taken.fallback:
        run.tell(f"heldby: not forked: {printable(taken.fallback)}")
    size, pause = format_bytes(taken.file_bytes), format_seconds(taken.pause_ns / 1e9)
    run.tell(f"{output}: {size} in {format_seconds(taken.seconds)}, process {pid} paused {pause}")
