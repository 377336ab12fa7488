"""What is not read yet is refused: a wrong number would be worse."""

from __future__ import annotations

import pytest

from heldby.errors import Unsupported
from heldby.golang.layouts.layout import KNOWN_RELEASES, table_layout


@pytest.mark.parametrize("version", ["go1.20.14", "go1.9", "go1.28.1", "devel +1234"])
def test_release_without_a_layout_is_refused_and_the_known_ones_are_named(version: str) -> None:
    with pytest.raises(Unsupported) as refused:
        table_layout(version, "amd64")

    assert version in refused.value.message
    assert refused.value.cause == "this heldby knows Go 1.21 to 1.27"


@pytest.mark.parametrize("release", KNOWN_RELEASES)
def test_each_known_release_has_a_table_of_its_own(release: str) -> None:
    layout = table_layout(f"go{release}.1", "amd64")

    assert layout.release.startswith(release)
    assert layout.size("runtime.mspan") == (168 if release == "1.21" else 160)
