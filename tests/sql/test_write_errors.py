"""Why DuckDB could not write, in its own words and without what it wraps them in."""

from __future__ import annotations

import pytest

from heldby.sql.write_errors import write_failure

FULL = (
    'IO Error: Async write failed for range [4, 84): {"exception_type":"IO","exception_message":'
    '"Could not write file \\"/d/f\\": No space left on device","errno":"28"}'
)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            FULL,
            'Could not write file "/d/f": No space left on device',
        ),
        (
            'IO Error: {"exception_message":"IO Error: outer: {\\"exception_message\\":\\"the disk is gone\\"}"}',
            "the disk is gone",
        ),
        (
            'IO Error: Cannot open file "/d/f": No such file\n\nLINE 1',
            'Cannot open file "/d/f": No such file',
        ),
        ('IO Error: Cannot open file "/d/{x}": denied', 'Cannot open file "/d/{x}": denied'),
        ('IO Error: half of it: {"exception_message":"Could', 'half of it: {"exception_message":"Could'),
        ("a plain word", "a plain word"),
    ],
)
def test_the_innermost_message_is_the_reason(said: str, reason: str) -> None:
    assert write_failure(RuntimeError(said)) == reason
