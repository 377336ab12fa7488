"""Options that several commands share, each written once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from heldby.cli.run import Run
from heldby.units import parse_bytes

_F = TypeVar("_F", bound=Callable[..., Any])

FILE: Final = click.Path(dir_okay=False, path_type=Path)
_OUTPUT: Final = click.Path(dir_okay=False, allow_dash=True)


def byte_count(text: str) -> int:
    """Return a number of bytes as people write it, ``4096`` or ``1.5GiB``; for click's ``type``."""
    found = parse_bytes(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is no number of bytes; write 4096, 10KiB or 1.5GiB")
    return found


def address(text: str) -> int:
    """Return an address as people paste it, ``0xc000123450``, or in decimal as SQL prints it; for click's ``type``."""
    try:
        found = int(text, 10 if text.isdecimal() else 16)
    except ValueError:
        found = -1
    if not 0 <= found < 1 << 64:
        raise click.BadParameter(f"{text!r} is no address; write it as 0xc000123450")
    return found


def process_id(text: str) -> int:
    """Return a PID; for click's ``type``."""
    if not (text.isdecimal() and 0 < int(text) <= 1 << 22):
        raise click.BadParameter(f"{text!r} is no PID")
    return int(text)


def _set(name: str) -> Callable[[click.Context, click.Parameter, bool], None]:
    def callback(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
        run = context.ensure_object(Run)
        setattr(run, name, value or getattr(run, name))

    return callback


def target(function: _F) -> _F:
    """Add the argument TARGET."""
    return click.argument("target", metavar="TARGET")(function)


def pid(function: _F) -> _F:
    """Add the argument PID."""
    return click.argument("pid", metavar="PID", type=process_id)(function)


def exe(function: _F) -> _F:
    """Add ``--exe``."""
    return click.option(
        "--exe",
        type=FILE,
        metavar="PATH",
        help="The program's executable, for a core that does not bring it along.",
    )(function)


def symbols(function: _F) -> _F:
    """Add ``--symbols``."""
    return click.option(
        "--symbols",
        type=FILE,
        metavar="PATH",
        help="An unstripped build of the same source, for names that a stripped program lacks.",
    )(function)


def method(*choices: str) -> Callable[[_F], _F]:
    """Add ``--method``."""
    return click.option(
        "--method",
        type=click.Choice(choices),
        default=choices[0],
        show_default=True,
        help="How to capture a process: read a copy made by fork, or stop it until all is copied.",
    )


def cache(function: _F) -> _F:
    """Add ``--no-cache``, taken as ``cache``."""
    return click.option(
        "--no-cache",
        "cache",
        is_flag=True,
        flag_value=False,
        default=True,
        help="Analyse a file again and keep nothing beside it.",
    )(function)


def _stdout_or_file(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Path | None:
    """Return the file, or None for stdout, which is ``-`` too; ``./-`` is a file of that name."""
    return None if value in (None, "-") else Path(value)


def _certain_file(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Path | None:
    """Return the file or folder of an option that does not go to stdout."""
    if value == "-":
        raise click.BadParameter(
            "this is not written to stdout; give a name, or ./- for one that is called so"
        )
    return None if value is None else Path(value)


def output(name: str = "output") -> Callable[[_F], _F]:
    """Add ``-o`` for an answer that goes to stdout without it, taken as `name`: the file, or None for stdout."""
    return click.option(
        "-o",
        "--output",
        name,
        type=_OUTPUT,
        callback=_stdout_or_file,
        metavar="FILE",
        help="Write to FILE instead of stdout.",
    )


def written_file(*names: str, folder: bool = False, **settings: Any) -> Callable[[_F], _F]:
    """Add an option for a file, or a folder, that is written; ``-`` is refused."""
    kind = click.Path(file_okay=not folder, dir_okay=folder, allow_dash=True)
    return click.option(*names, type=kind, callback=_certain_file, **settings)


def force(function: _F) -> _F:
    """Add ``--force``."""
    return click.option("--force", is_flag=True, help="Replace the output file if it exists.")(function)


def talk(function: _F) -> _F:
    """Add ``-v`` and ``-q``."""
    function = click.option(
        "-q",
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=_set("quiet"),
        help="Nothing on stderr but errors.",
    )(function)
    return click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_set("verbose"),
        help="Log each step with its duration on stderr, and show every note.",
    )(function)
