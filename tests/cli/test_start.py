"""The command line answers at once, in the shape that people expect."""

from __future__ import annotations

import resource
import subprocess
import sys

import click
import pytest

import heldby
from heldby.cli.group import Command
from heldby.cli.main import cli

HEAVY = ("numpy", "numba", "llvmlite", "drgn", "elftools", "rich", "google.protobuf")


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\nfrom heldby.cli.main import main\nassert main(['--help']) == 0\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stderr == "[]\n"


def test_help_takes_less_than_150_ms_of_processor_time() -> None:
    # Nothing waits in there, so on an idle machine that is the time people wait; a busy one does not count.
    best = 9.0
    for _ in range(20):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "heldby.cli.main", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
        if best < 0.15:
            break

    assert best < 0.15


def help_of(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "heldby.cli.main", *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_no_arguments_show_the_help() -> None:
    assert help_of() == help_of("--help") == help_of("-h")


def test_the_version_is_the_package_s() -> None:
    assert help_of("--version") == f"heldby {heldby.__version__}\n"


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_help_ends_with_real_examples(name: str) -> None:
    command = cli.commands[name]
    assert isinstance(command, Command)
    assert len(command.examples) >= 2

    shown = help_of(name, "--help").split("Examples:\n")[1].splitlines()

    assert shown == [text for line, meaning in command.examples for text in (f"  # {meaning}", f"  {line}")]


def parsed(*arguments: str) -> tuple[str, list[str]]:
    """Return the command that `arguments` reach and what it is given."""
    with cli.make_context("heldby", list(arguments)) as context:
        rest = [*context._protected_args, *context.args]
        return rest[0], rest[1:]


@pytest.mark.parametrize(
    ("arguments", "command", "rest"),
    [
        (["4242"], "explain", ["4242"]),
        (["--format", "json", "4242"], "explain", ["--format", "json", "4242"]),
        (["4242", "--help"], "explain", ["4242", "--help"]),
        (["-v", "4242"], "explain", ["-v", "4242"]),
        (["-v", "capture", "1", "-o", "f"], "capture", ["-v", "1", "-o", "f"]),
        (["./capture"], "explain", ["./capture"]),
        (["explain", "capture"], "explain", ["capture"]),
        (["--", "capture"], "explain", ["--", "capture"]),
    ],
)
def test_a_target_needs_no_command(arguments: list[str], command: str, rest: list[str]) -> None:
    assert parsed(*arguments) == (command, rest)


def test_every_option_says_what_it_does() -> None:
    for command in cli.commands.values():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, parameter.name
