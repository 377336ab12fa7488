"""docs/commands.md and README.md tell the truth: every command, option, field and error, help and screen as they are.

HELDBY_UPDATE_DOCS=1 pastes the current help texts, HELDBY_UPDATE_SCREENS=1 the current first screen of the answer
that `make demo` gave once (tests/render/screens/demo.json, its ``--format json``).
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

import heldby.errors
from heldby.analysis import answer
from heldby.cli.group import DEFAULT_COMMAND
from heldby.cli.main import cli
from heldby.errors import HeldbyError
from heldby.render.first_screen import first_screen
from heldby.store.plain import from_plain

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "commands.md"
README = PROJECT / "README.md"
DEMO = PROJECT / "tests" / "render" / "screens" / "demo.json"
PAGES = [path.relative_to(PAGE.parent) for path in PAGE.parent.rglob("*.md")]
SCREEN = re.compile(r"```\n\$ heldby \d+\n.*?```", re.DOTALL)
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


def test_the_readme_shows_the_screen_of_the_demo() -> None:
    demo = from_plain(answer.Answer, json.loads(DEMO.read_text()))
    screen = f"```\n$ heldby {demo.process.pid}\n{first_screen(demo).plain}\n```"
    if os.environ.get("HELDBY_UPDATE_SCREENS"):
        README.write_text(SCREEN.sub(lambda _match: screen, README.read_text()))

    assert SCREEN.findall(README.read_text()) == [screen]


def test_the_readme_names_every_command() -> None:
    page = README.read_text()

    assert [
        name for name in cli.commands if name != DEFAULT_COMMAND and not re.search(rf"heldby {name}\b", page)
    ] == []


@pytest.mark.parametrize("page", ["README.md", "docs/commands.md", "docs/sql.md", "docs/how-it-works.md"])
def test_every_command_line_in_a_text_is_one(page: str) -> None:
    lines = re.findall(r"(?<![\w./-])heldby ([a-z][a-z-]*) [A-Z0-9]", (PROJECT / page).read_text())

    assert sorted({name for name in lines if name not in cli.commands}) == []


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


def heading_anchors(page: Path) -> set[str]:
    """Return the names by which GitHub lets the headings of a page be linked to."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ["README.md", *sorted(f"docs/{path}" for path in PAGES)])
def test_every_link_leads_somewhere(page: str) -> None:
    path = PROJECT / page
    broken = []
    for file, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", path.read_text()):
        target = path.parent / file if file else path
        if not target.exists() or (anchor and anchor not in heading_anchors(target)):
            broken.append(f"{file}#{anchor}")

    assert broken == []
