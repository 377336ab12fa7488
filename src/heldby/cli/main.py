"""The entry point: commands, and the one place that turns what went wrong into words and an exit code.

Exit codes: 0 done, 1 other, 2 usage, 3 capture, 4 format, 5 missing data, 6 limit, 7 output, 70 a mistake of ours,
130 interrupted, 141 the reader of our output went away, 143 terminated. stdout carries the answer and nothing else.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

import click

import heldby
from heldby.cli.capture import capture
from heldby.cli.cost import cost
from heldby.cli.doctor import doctor
from heldby.cli.explain import explain
from heldby.cli.export import export
from heldby.cli.find import find
from heldby.cli.goroutines import goroutines
from heldby.cli.group import DEFAULT_COMMAND, Group
from heldby.cli.object_value import object_value
from heldby.cli.paths import paths
from heldby.cli.profile import profile
from heldby.cli.refs import refs
from heldby.cli.reporting import report, say
from heldby.cli.rss import rss
from heldby.cli.run import Run
from heldby.cli.sites import sites
from heldby.cli.size_classes import size_classes
from heldby.cli.sql import sql
from heldby.cli.standard_streams import prepare_streams
from heldby.cli.top import top
from heldby.cli.tree import tree
from heldby.cli.what_if import what_if
from heldby.errors import HeldbyError, InternalError, LimitExceeded, OutputError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def command_for(target: str) -> str:
    """Return the command for a target by its content: profiles and URLs are not what the others read."""
    if "://" in target:
        return "profile"
    path = Path(target)
    try:
        if target.isdecimal() or not path.is_file():
            return DEFAULT_COMMAND
        with path.open("rb") as file:
            if file.read(4) == b"\x7fELF":
                return DEFAULT_COMMAND
        from heldby.profiles.pprof_read import content_of

        return "profile" if content_of(path) == "profile" else DEFAULT_COMMAND
    except (OSError, ValueError):
        return DEFAULT_COMMAND  # which says what is wrong with it


@click.group(
    cls=Group,
    choose=command_for,
    sections={
        "Who holds memory": (
            *(explain, top, tree, object_value, find, paths, refs, goroutines, what_if, sql),
        ),
        "Where it was allocated": (sites, profile),
        "Where the rest went, and what it costs": (rss, size_classes, cost),
        "Captures, and other tools": (doctor, capture, export),
    },
    context_settings={"help_option_names": ["-h", "--help"]},
    examples=(
        ("heldby 4242", "who holds the memory of process 4242"),
        ("heldby core.4242 --exe ./payments --format json", "the same from a core file, for a program"),
        ("heldby heap.pb.gz", "what a pprof profile says; heldby profile --help has its options"),
    ),
)
@click.version_option(heldby.__version__, message="heldby %(version)s")
def cli() -> None:
    """Say who holds the memory of a Go process, and where the rest of it went.

    TARGET is a PID, a core file, a file that heldby capture wrote, or a pprof profile as file or URL.
    The process needs no rebuild and no restart; it pauses for milliseconds.
    """


class _Terminated(BaseException):
    """SIGTERM: unwinds like Ctrl-C, so that a capture lets its target go."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    prepare_streams()
    run = Run()
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        code = _invoke(sys.argv[1:] if arguments is None else arguments, run)
        sys.stdout.flush()
        if code == 0:
            run.keep()
    except HeldbyError as error:
        code = report(error)
    except (KeyboardInterrupt, click.Abort):
        code = say("heldby: interrupted", 130)
    except _Terminated:
        code = say("heldby: terminated", 143)
    except BrokenPipeError:
        code = _drop_stdout()
    except MemoryError:
        code = report(
            LimitExceeded(
                "this machine has too little memory for this heap",
                next_step="take it along: heldby capture PID -o FILE, and read FILE on a larger machine",
            )
        )
    except OSError as error:
        code = report(_full_disk() if error.errno in _NO_SPACE else internal_error(error, run))
    except Exception as error:  # the last resort: no traceback reaches the screen
        code = report(internal_error(error, run))
    finally:
        signal.signal(signal.SIGTERM, before)
    return code


def _invoke(arguments: list[str], run: Run) -> int:
    try:
        with cli.make_context("heldby", arguments, obj=run) as context:
            cli.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return 0


def internal_error(error: Exception, run: Run) -> InternalError:
    """Return the error to show for a mistake of ours; the traceback goes into a log file."""
    import platform
    import tempfile
    import traceback

    where = None
    try:
        descriptor, where = tempfile.mkstemp(prefix="heldby-", suffix=".log")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as log:
            log.write(f"heldby {heldby.__version__}, Python {sys.version}\n{platform.platform()}\n")
            log.write(f"arguments: {sys.argv[1:]!r}\n\nsteps:\n")
            log.writelines(f"{step}\n" for step in run.steps)
            log.write("\n" + "".join(traceback.format_exception(error)))
    except OSError:
        where = None
    found = f"{type(error).__name__}: {error}"
    return InternalError(
        "a mistake of ours, not of yours",
        cause=found if len(found) <= 300 else found[:300] + "…",
        next_step=f"please report it with {where}; look it over first, it may name your types and paths"
        if where
        else "please report it with what you ran",
    )


def _full_disk() -> OutputError:
    _drop_stdout()  # what is still in its buffer cannot be written either
    return OutputError(
        "the answer cannot be written: no space left", next_step="choose another place for the output"
    )


def _drop_stdout() -> int:
    """Let the interpreter end quietly when the reader of our output is gone."""
    with suppress(io.UnsupportedOperation):  # it was closed before we began
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise _Terminated


if __name__ == "__main__":
    sys.exit(main())
