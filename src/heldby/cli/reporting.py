"""Errors on stderr, in words."""

from __future__ import annotations

import sys

from heldby.errors import HeldbyError


def report(error: HeldbyError) -> int:
    """Write message, cause and next step to stderr and return the exit code of the class."""
    from heldby.render.plain_text import printable

    lines = [f"heldby: {printable(error.message)}"]
    if error.cause:
        lines.append(f"   why: {printable(error.cause)}")
    if error.next_step:
        lines.append(f"  next: {printable(error.next_step)}")
    return say("\n".join(lines), error.exit_code)


def say(text: str, code: int) -> int:
    """Write a line to stderr, if anyone reads it, and return `code`."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (BrokenPipeError, ValueError):
        pass
    return code
