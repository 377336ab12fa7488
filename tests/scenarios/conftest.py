"""What the tests of this folder share: scenarios that a release cannot build are skipped, with the reason."""

from __future__ import annotations

import pytest

from tests.support.scenario import NAMES, why_not
from tests.support.toolchains import Toolchain


@pytest.fixture(autouse=True)
def _buildable(request: pytest.FixtureRequest) -> None:
    """Skip a test of scenario ``name`` with toolchain ``go`` when that release cannot build the scenario."""
    callspec = getattr(request.node, "callspec", None)
    name = callspec.params.get("name") if callspec is not None else None
    if name in NAMES and "go" in request.fixturenames:
        toolchain: Toolchain = request.getfixturevalue("go")
        reason = why_not(name, toolchain.minor)
        if reason is not None:
            pytest.skip(f"Go {toolchain.minor} cannot build {name}: {reason}")
