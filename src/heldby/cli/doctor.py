"""``heldby doctor``: may this user capture that process?"""

from __future__ import annotations

import click

from heldby.cli import options
from heldby.cli.group import Command
from heldby.cli.run import Run


@click.command(
    cls=Command,
    short_help="Check whether a process can be captured.",
    examples=(
        ("heldby doctor 4242", "may I capture process 4242, and if not, what to change"),
        ("sudo heldby doctor 4242", "would root?"),
    ),
)
@options.pid
@options.talk
@click.pass_obj
def doctor(run: Run, pid: int) -> None:
    """Say whether you may capture process PID here, and if not, what to change."""
    _ = run, pid
