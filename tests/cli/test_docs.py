"""docs/commands.md tells the truth: every command, option, field and error, with the help as it is.

HELDBY_UPDATE_DOCS=1 pastes the current help texts into it.
"""

from __future__ import annotations

import os
import re
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

import heldby.errors
from heldby.analysis import answer
from heldby.cli.main import cli
from heldby.errors import HeldbyError

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
BLOCK = re.compile(r"(<!-- help: ?([\w-]*) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def current_help(name: str) -> str:
    arguments = [name, "--help"] if name else ["--help"]
    result = CliRunner().invoke(cli, arguments, prog_name="heldby", terminal_width=80)
    assert result.exit_code == 0
    return result.output.rstrip("\n")


def test_the_pasted_help_is_current() -> None:
    page = PAGE.read_text()

    def fresh(match: re.Match[str]) -> str:
        return f"{match[1]}```\n{current_help(match[2])}\n```\n{match[4]}"

    updated = BLOCK.sub(fresh, page)
    if os.environ.get("HELDBY_UPDATE_DOCS"):
        PAGE.write_text(updated)

    assert PAGE.read_text() == updated


def test_every_command_has_its_help_on_the_page() -> None:
    assert {match[2] for match in BLOCK.finditer(PAGE.read_text())} == {"", *cli.commands}


def test_every_option_is_on_the_page() -> None:
    page = PAGE.read_text()
    options = {
        name
        for command in (cli, *cli.commands.values())
        for parameter in command.params
        for name in parameter.opts
        if name.startswith("-")
    }

    assert {"--format", "--pprof", "--version", "-o"} <= options
    assert [name for name in sorted(options) if not re.search(rf"(?<![-\w]){name}\b", page)] == []


@pytest.mark.parametrize(
    "record",
    [
        *(answer.CaptureFacts, answer.ProcessFacts, answer.HeapTotals, answer.RssAccount, answer.RssRow),
        *(answer.RssPart, answer.CollectorFacts, answer.Setting),
        *(answer.Holder, answer.Site, answer.Frame, answer.Held, answer.Finding, answer.Answer),
        answer.ProfileFacts,
        *(answer.Cost, answer.TextAlternative),
    ],
)
def test_every_field_of_the_json_is_on_the_page(record: type) -> None:
    page = PAGE.read_text()

    assert [field.name for field in fields(record) if f"`{field.name}`" not in page] == []


def test_every_error_class_stands_beside_its_exit_code() -> None:
    page = PAGE.read_text()
    classes = [
        value
        for value in vars(heldby.errors).values()
        if isinstance(value, type) and issubclass(value, HeldbyError)
    ]

    assert len(classes) > 15
    for kind in classes:
        row = next(line for line in page.splitlines() if line.startswith(f"| {kind.exit_code} |"))
        assert f"`{kind.__name__}`" in row


@pytest.mark.parametrize("page", ["README.md", "docs/commands.md", "docs/how-it-works.md", "docs/capture.md"])
def test_every_link_to_a_file_leads_somewhere(page: str) -> None:
    path = PAGE.parents[1] / page
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())

    assert [link for link in links if not (path.parent / link).exists()] == []
