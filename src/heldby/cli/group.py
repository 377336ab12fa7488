"""The command line's shape: ``heldby TARGET`` is ``heldby explain TARGET``; every help ends with examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

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
    """

    def __init__(
        self,
        *args: Any,
        examples: tuple[tuple[str, str], ...] = (),
        choose: Callable[[str], str] = lambda _target: DEFAULT_COMMAND,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        self._choose = choose

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
            args = [self._choose(self._target(args)), *flags, *args]
        return super().parse_args(ctx, args)

    def _target(self, args: list[str]) -> str:
        """Return the first argument that is no option and belongs to none; empty when there is none."""
        with_value = {
            name
            for command in self.commands.values()
            for param in command.params
            if isinstance(param, click.Option) and not param.is_flag
            for name in param.opts
        }
        rest = iter(args)
        for argument in rest:
            if argument == "--":
                return next(rest, "")
            if not argument.startswith("-"):
                return argument
            if argument in with_value:
                next(rest, None)
        return ""

    def format_usage(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the two ways to call it."""
        formatter.write("Usage: heldby TARGET [OPTIONS]\n       heldby COMMAND [OPTIONS] ...\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the default command's options, then the commands."""
        default = self.commands[DEFAULT_COMMAND]
        own = [param for param in self.get_params(ctx) if param.name == "version"]
        params = [param for param in default.get_params(ctx) if isinstance(param, click.Option)]
        rows = [param.get_help_record(ctx) for param in (*params, *own)]
        with formatter.section("Options"):
            formatter.write_dl([row for row in rows if row is not None])
        self.format_commands(ctx, formatter)

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        write_examples(formatter, self.examples)


def write_examples(formatter: click.HelpFormatter, examples: tuple[tuple[str, str], ...]) -> None:
    """Write a section of command lines, each under the words that say what it does."""
    with formatter.section("Examples"):
        for line, meaning in examples:
            formatter.write(f"  # {meaning}\n  {line}\n")
