"""The small package that tests of the cache change."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jit.small_package import make_package


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of heldby's name with its `jit` and two kernel modules of its own."""
    return make_package(tmp_path)
