"""What a cgroup charges beyond RSS, from the kernel's own texts of both versions."""

from __future__ import annotations

from typing import Any

import pytest

from heldby.analysis.rss.cgroup import Charge, charge_of
from heldby.analysis.rss.evidence import Evidence
from heldby.memory.mappings import parse_smaps

MIB = 1 << 20
SMAPS = """00400000-00500000 r-xp 00000000 fe:00 7 /srv/payments
Rss:                 512 kB
Swap:                  0 kB
c000000000-c004000000 rw-p 00000000 00:00 0
Rss:               40960 kB
Swap:               8192 kB
"""
STATUS = "Name:\tpayments\nVmRSS:\t   41472 kB\nRssAnon:\t   40960 kB\nVmPTE:\t     120 kB\n"
STAT2 = """anon 62914560
file 20971520
kernel 3145728
sock 1048576
shmem 0
file_mapped 524288
"""
STAT1 = """cache 1
rss 2
mapped_file 3
hierarchical_memory_limit 134217728
total_cache 20971520
total_rss 62914560
total_mapped_file 524288
"""


def charge(files: dict[str, Any]) -> Charge:
    proc = {"status": STATUS, "smaps": SMAPS, "cgroup_files": files}
    return charge_of(Evidence(tuple(parse_smaps(SMAPS)), None, None, proc))


def rows(found: Charge) -> dict[str, int | None]:
    return {row.name: row.bytes for row in found.rows}


def test_version_2_names_page_cache_kernel_memory_and_other_processes() -> None:
    found = charge(
        {
            "memory.current": "90000000\n",
            "memory.max": "268435456\n",
            "above memory.max": "max 134217728 536870912",
            "memory.stat": STAT2,
            "processes": "3",
        }
    )

    assert rows(found) == {
        "swap": 8 * MIB,
        "page cache of the cgroup": 20 * MIB - MIB // 2,
        "kernel memory of the cgroup": 4 * MIB,  # kernel and sock
        "other processes": 20 * MIB,  # 60 MiB anonymous, 40 of them ours
    }
    assert found.limit == 128 * MIB  # a group above has the tighter one
    assert found.usage == 90000000
    assert found.firm == 24 * MIB  # what the kernel cannot drop


def test_version_1_names_the_same() -> None:
    found = charge(
        {
            "memory.usage_in_bytes": "90000000\n",
            "memory.limit_in_bytes": "9223372036854771712\n",
            "memory.kmem.usage_in_bytes": "4194304\n",
            "memory.stat": STAT1,
            "processes": "1",
        }
    )

    assert rows(found) == {
        "swap": 8 * MIB,
        "page cache of the cgroup": 20 * MIB - MIB // 2,
        "kernel memory of the cgroup": 4 * MIB,
    }
    assert found.limit == 128 * MIB


def test_without_a_cgroup_page_tables_are_told_and_there_is_no_limit() -> None:
    found = charge({})

    assert rows(found) == {"swap": 8 * MIB, "page tables": 120 * 1024}
    assert found.limit is None
    assert found.usage is None


@pytest.mark.parametrize("limit", ["max", "9223372036854771712", "", "many", "-5"])
def test_what_is_no_limit_is_none(limit: str) -> None:
    assert charge({"memory.current": "5", "memory.max": limit, "memory.stat": STAT2}).limit is None


@pytest.mark.parametrize(
    "files", [None, [], {"memory.stat": 7}, {"memory.current": "x", "memory.stat": "a b c\n\xff 1"}]
)
def test_damaged_texts_say_nothing(files: Any) -> None:
    found = charge(files)

    assert "page cache of the cgroup" not in rows(found)
    assert found.limit is None
