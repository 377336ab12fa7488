"""docs/leak.ipynb runs, cell by cell, on a capture of the service that it speaks of, and shows what it says."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from heldby.capture import capture_process
from tests.support.build import REPOSITORY, build
from tests.support.process import running
from tests.support.toolchains import any_toolchain

pytestmark = pytest.mark.ptrace

NOTEBOOK = REPOSITORY / "docs" / "leak.ipynb"
SERVICE = REPOSITORY / "examples" / "baselines"


@dataclass(frozen=True)
class Run:
    """What the notebook did.

    Attributes:
        shown: the value of each code cell's last line, as a notebook would show it.
        names: the variables at the end.
        stats: what the service counted itself.
    """

    shown: list[str]
    names: Mapping[str, Any]
    stats: Mapping[str, int]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("notebook")
    module = folder / "baselines"
    shutil.copytree(SERVICE / "measurement", module / "measurement")
    shutil.copy(SERVICE / "baseline.go", module)
    shutil.copy(Path(__file__).with_name("main.go"), module)
    (module / "go.mod").write_text("module heldby.example/baselines\n\ngo 1.24.0\n")
    capture = folder / "baselines.core"
    with running(build(module, any_toolchain())) as service:
        capture_process(service.pid, capture)
        stats = dict(service.ready)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        shown, names = execute(code_cells())
    return Run(shown, names, stats)


def code_cells() -> list[str]:
    notebook = json.loads(NOTEBOOK.read_text())
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def execute(cells: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Run cells as a notebook does: one after the other, in one namespace, showing the last expression of each."""
    names: dict[str, Any] = {}
    shown = []
    for number, cell in enumerate(cells):
        tree = ast.parse(cell, f"cell {number}")
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"cell {number}", "exec"), names)
        value = None
        if last is not None:
            value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)  # type: ignore[attr-defined]
        html = getattr(value, "_repr_html_", None)
        shown.append(html() if html else repr(value))
    return shown, names


def test_it_is_kept_without_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text())

    assert notebook["nbformat"] == 4
    assert [cell for cell in notebook["cells"] if cell.get("outputs") or cell.get("execution_count")] == []


def test_the_leak_is_named_with_the_strings_that_the_service_counts(run: Run) -> None:
    assert run.stats["seen"] == 600 * 28
    assert run.stats["baselines"] == 120

    first = next(iter(run.names["heap"].holders.rows(1)))
    assert first["path"] == "main.manager.paths[*].Seen[*]"
    # An ID of 113 bytes takes a slot of 128; append made room for 143 headers of 16 bytes, in a slot of 2,304.
    assert run.stats["seen_slots"] == 120 * 143
    assert first["retained_bytes"] == 600 * 28 * 128 + 120 * 2304
    assert "main.manager.paths[*].Seen[*]" in run.shown[0]


def test_every_step_shows_what_the_text_says(run: Run) -> None:
    page = "\n".join(run.shown)

    assert "120" in run.shown[2]  # baselines that should have been dropped
    assert "/orders/create@2026-11-22T10:00:00Z" in page  # the keys of the map
    assert "/Orders/Create" in page  # what Expire deletes by
    assert "Traceback" not in page
