"""The command line's shape: ``heldby TARGET`` is ``heldby explain TARGET``; every help ends with examples."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click

from heldby.errors import UsageError

DEFAULT_COMMAND: Final = "explain"
_ANYWHERE: Final = frozenset({"-v", "--verbose", "-q", "--quiet"})


class Command(click.Command):
    """A command with examples.

    Args:
        examples: pairs of a command line and what it does.
    """

    def __init__(self, *args: Any, examples: tuple[tuple[str, str], ...] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, unwrapped, so that they can be copied."""
        write_examples(formatter, self.examples)


class Group(click.Group):
    """Commands of which none needs a name that can be told by its target.

    Args:
        choose: the name of the command for a target, when none is named.
        sections: the commands under the headings and in the order in which the help lists them.
    """

    def __init__(
        self,
        *args: Any,
        examples: tuple[tuple[str, str], ...] = (),
        choose: Callable[[str], str] = lambda _target: DEFAULT_COMMAND,
        sections: Mapping[str, tuple[click.Command, ...]],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        self._choose = choose
        self._sections = sections
        for command in (each for commands in sections.values() for each in commands):
            self.add_command(command)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command's name in front where no command is named."""
        if not args:
            args = ["--help"]
        early = 0
        while early < len(args) and args[early] in _ANYWHERE:
            early += 1
        flags, args = args[:early], args[early:]
        if args and args[0] in self.commands:
            args = [args[0], *flags, *args[1:]]
        elif not (args and args[0] in ("--help", "-h", "--version")):
            given = self._positional(args)
            self._refuse_unknown_command(given)
            args = [self._choose(given[0] if given else ""), *flags, *args]
        return super().parse_args(ctx, args)

    def _refuse_unknown_command(self, given: list[str]) -> None:
        """Raise `UsageError` where the first word is surely meant as a command: it is no target there is."""
        name = given[0] if given else ""
        if not name or name in self.commands or name.isdecimal() or "://" in name or os.sep in name:
            return
        if Path(name).exists():
            return
        import difflib

        close = difflib.get_close_matches(name, self.commands, n=1, cutoff=0.7)
        if close or len(given) > 1:
            raise UsageError(
                f"there is no command and no file {name}",
                next_step=f"did you mean heldby {close[0]}?" if close else "heldby --help lists the commands",
            )

    def _positional(self, args: list[str]) -> list[str]:
        """Return the arguments that are no options and belong to none."""
        with_value = {
            name
            for command in self.commands.values()
            for param in command.params
            if isinstance(param, click.Option) and not param.is_flag
            for name in param.opts
        }
        found: list[str] = []
        rest = iter(args)
        for argument in rest:
            if argument == "--":
                return [*found, *rest]
            if not argument.startswith("-"):
                found.append(argument)
            elif argument in with_value:
                next(rest, None)
        return found

    def format_usage(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the two ways to call it."""
        formatter.write("Usage: heldby TARGET [OPTIONS]\n       heldby COMMAND [OPTIONS] ...\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, then the default command's options."""
        self.format_commands(ctx, formatter)
        default = self.commands[DEFAULT_COMMAND]
        own = [param for param in self.get_params(ctx) if param.name == "version"]
        params = [param for param in default.get_params(ctx) if isinstance(param, click.Option)]
        rows = [param.get_help_record(ctx) for param in (*params, *own)]
        with formatter.section(f"Options of heldby TARGET ({DEFAULT_COMMAND})"):
            formatter.write_dl([row for row in rows if row is not None])

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each command under its heading; the columns of all sections stand in line."""
        width = max(map(len, self.commands))
        for heading, commands in self._sections.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [
                        ((each.name or "").ljust(width), each.get_short_help_str(limit=100))
                        for each in commands
                    ]
                )

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        write_examples(formatter, self.examples)


def write_examples(formatter: click.HelpFormatter, examples: tuple[tuple[str, str], ...]) -> None:
    """Write a section of command lines, each under the words that say what it does."""
    with formatter.section("Examples"):
        for line, meaning in examples:
            formatter.write(f"  # {meaning}\n  {line}\n")
