"""Captures of programs with known contents, each made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from heldby.capture import capture_process
from tests.support.build import Mode, scenario_program
from tests.support.process import running, wait_until_still
from tests.support.toolchains import any_toolchain


@pytest.fixture(scope="session")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Mode], Path]:
    """Return what captures a scenario program into a file of its own folder; the same file for the same program."""
    made: dict[tuple[str, Mode], Path] = {}

    def capture(name: str, mode: Mode = Mode.DEFAULT) -> Path:
        if (name, mode) not in made:
            path = tmp_path_factory.mktemp("captures") / f"{name}.core"
            with running(scenario_program(name, any_toolchain(), mode)) as program:
                wait_until_still(program.pid)
                capture_process(program.pid, path)
            made[name, mode] = path
        return made[name, mode]

    return capture
