"""`heldby.open` and the package's face."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import pytest

import heldby
import heldby.api
from heldby.api import pid_of
from heldby.errors import HeldbyError


def test_the_example_of_open_runs() -> None:
    assert doctest.testmod(heldby.api).attempted > 0
    assert doctest.testmod(heldby.api).failed == 0


def test_importing_heldby_loads_nothing_heavy() -> None:
    heavy = ("numpy", "numba", "click", "rich")
    program = f"import sys, heldby; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_all_names_of_the_package_exist() -> None:
    assert heldby.__all__ == sorted(heldby.__all__)
    for name in heldby.__all__:
        assert getattr(heldby, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = heldby.nonsense


@pytest.mark.parametrize(
    ("target", "pid"),
    [
        (4242, 4242),
        ("4242", 4242),
        ("./4242", None),
        ("core.4242", None),
        (Path("4242"), None),
        ("٤٢", None),
        ("-1", None),
    ],
)
def test_a_number_is_a_pid_and_anything_else_a_path(target: int | str | Path, pid: int | None) -> None:
    assert pid_of(target) == pid


def test_an_executable_that_does_not_exist_is_told_before_the_process_is_touched(tmp_path: Path) -> None:
    with pytest.raises(HeldbyError, match="there is no executable") as caught:
        heldby.open(1, exe=tmp_path / "absent")

    assert caught.value.exit_code == 2
