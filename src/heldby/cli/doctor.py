"""``heldby doctor``: may this user capture that process?"""

from __future__ import annotations

import click

from heldby.cli import options
from heldby.cli.group import Command
from heldby.cli.run import output_console


@click.command(
    cls=Command,
    short_help="Whether a process can be captured; if not, what to change.",
    examples=(
        ("heldby doctor 4242", "may I capture process 4242, and if not, what to change"),
        ("sudo heldby doctor 4242", "would root?"),
    ),
)
@options.pid
@click.pass_context
def doctor(context: click.Context, pid: int) -> None:
    """Say whether you may capture process PID here, and if not, what to change.

    Nothing is stopped and nothing is changed.
    The exit code is 3 when the process cannot be captured.
    """
    from heldby.capture import examine
    from heldby.errors import CaptureError
    from heldby.render.diagnosis import diagnosis_text
    from heldby.render.plain_text import print_text

    diagnosis = examine(pid)
    console = output_console()
    print_text(console, diagnosis_text(diagnosis, console.width))
    if not diagnosis.can_capture:
        context.exit(CaptureError.exit_code)
