"""The account is the same for every release; a default run looks at the newest only."""

from __future__ import annotations

import pytest

from tests.support.toolchains import NEWEST


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs on another release slow."""
    for item in items:
        release = getattr(item, "callspec", None)
        if "tests/rss" in str(item.path) and release and release.params.get("go", NEWEST) != NEWEST:
            item.add_marker(pytest.mark.slow)
