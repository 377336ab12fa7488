"""How long a process had run when it was captured."""

from __future__ import annotations

import pytest

from heldby.analysis.process_facts import _age

# 19 words follow before the start, word 22 of all: here 120,000 ticks, 20 minutes after the machine started.
STAT = "4242 (pay) R 1 (x) S 1 4242 4242 0 -1 4194304 260 0 0 0 165 1 0 0 20 0 5 0 120000 1256280064 513"


def test_the_age_is_the_machine_s_clock_less_the_start_whatever_the_name_is() -> None:
    assert _age({"proc": {"stat": STAT, "uptime": "260400.25 9511.79\n"}}) == 259_200.25


@pytest.mark.parametrize(
    "proc",
    [
        None,
        {},
        {"stat": STAT},
        {"stat": STAT, "uptime": None},
        {"stat": STAT, "uptime": ""},
        {"stat": STAT, "uptime": "inf"},
        {"stat": STAT, "uptime": "nan"},
        {"stat": STAT, "uptime": "1199.99 0"},
        {"stat": "4242 (pay) R 1", "uptime": "260400.25 9511.79"},
        {"stat": STAT.replace("120000", "x"), "uptime": "260400.25 9511.79"},
        {"stat": STAT.replace("120000", "9" * 400), "uptime": "260400.25 9511.79"},
    ],
)
def test_what_does_not_make_sense_is_no_age(proc: object) -> None:
    assert _age({"proc": proc}) is None
