"""``heldby profile``: a pprof profile from a file or a URL, alone or against another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from heldby.cli import options
from heldby.cli.group import Command
from heldby.cli.run import Run
from heldby.cli.tables import Output, table_output
from heldby.errors import UsageError

if TYPE_CHECKING:
    from heldby.profiles.profile import Profile
    from heldby.progress import Progress

By = Literal["function", "line", "file", "package"]


@click.command(
    cls=Command,
    short_help="What a pprof profile says, alone or against another.",
    examples=(
        ("heldby http://127.0.0.1:6060 --by package", "which packages allocate, from a running program"),
        (
            "heldby later.pb.gz --diff-base before.pb.gz --by line",
            "what was allocated in between, line by line",
        ),
    ),
)
@click.argument("target", metavar="TARGET")
@click.option(
    "--profile", metavar="NAME", help="Of a URL that names none: heap, allocs, goroutine ...  [heap]"
)
@click.option(
    "--sample-type",
    "-sample_index",
    metavar="TYPE",
    help="inuse_space, alloc_objects ...; what the profile itself prefers if not given.",
)
@click.option(
    "--by",
    type=click.Choice(["function", "line", "file", "package"]),
    default="function",
    show_default=True,
    help="What a row stands for.",
)
@click.option(
    "--cum", "-cum", "by_cum", is_flag=True, help="Sort by what passes through, not by what ends there."
)
@click.option("--base", "-base", metavar="TARGET", help="Subtract this profile.")
@click.option(
    "--diff-base",
    "-diff_base",
    metavar="TARGET",
    help="Subtract this profile; shares are of it, as with pprof.",
)
@click.option("--gc", is_flag=True, help="Let the program collect before a URL's heap profile is taken.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1, max=86_400),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="How long a URL may take.",
)
@table_output
@options.talk
@click.pass_obj
def profile(
    run: Run,
    target: str,
    profile: str | None,
    sample_type: str | None,
    by: By,
    by_cum: bool,
    base: str | None,
    diff_base: str | None,
    gc: bool,
    timeout: float,
    output: Output,
) -> None:
    """Say what weighs most in a pprof profile: flat and cumulative, as go tool pprof -top does.

    TARGET is a profile (protobuf, or Go's text of debug=1 or 2; gzipped or not), or a URL of net/http/pprof.
    A profile knows who allocated; who holds the memory is for heldby PID to say.
    """
    if profile is not None and "://" not in target:
        raise UsageError("--profile is for URLs", next_step="a file is what it is; leave --profile away")
    if base is not None and diff_base is not None:
        raise UsageError("--base and --diff-base exclude each other", next_step="give one of them")
    from heldby.analysis.allocation.profile_table import profile_table
    from heldby.profiles.comparison import subtracted

    with run.working() as progress:
        taken, name, pid = _read(target, profile, timeout, progress, gc=gc)
        other = base or diff_base
        if other is not None:
            before, _, _ = _read(other, profile, timeout, progress)
            taken = subtracted(taken, before, keep_base=diff_base is not None)
    table = profile_table(
        taken,
        name,
        sample_type=sample_type,
        granularity=by,
        by_cum=by_cum,
        compact=output.format == "text",
        pid=pid,
    )
    output.write(run, table)


def _read(
    target: str, name: str | None, timeout: float, progress: Progress, *, gc: bool = False
) -> tuple[Profile, str, int | None]:
    """Return the profile, what to call it, and the process it came from when that runs here."""
    from heldby.profiles.http_profiles import fetch_profile, is_url, parse_address

    if is_url(target):
        from heldby.capture.listeners import listening_pid

        address = parse_address(target, profile=name, gc=gc)
        fetched = fetch_profile(address, timeout=timeout, progress=progress)
        return fetched, address.shown, listening_pid(address.host, address.port)
    if "://" in target and not Path(target).exists():
        raise UsageError(f"{target}: only http and https are spoken", next_step="fetch it into a file first")
    if gc:
        raise UsageError("--gc is for URLs", next_step="a file is what it is; leave --gc away")
    from heldby.api import read_head
    from heldby.profiles.pprof_read import read_profile

    path = Path(target)
    if read_head(path).startswith(b"\x7fELF"):
        raise UsageError(
            f"{path} is a core or a program, not a profile", next_step=f"for a core or capture: heldby {path}"
        )
    with progress.phase("reading the profile"):
        return read_profile(path), path.name, None
