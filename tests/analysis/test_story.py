"""The demo's story: encoding/json allocated the strings, the manager's own code the arrays and the map."""

from __future__ import annotations

import functools
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import heldby
from heldby.analysis.allocation.site_table import site_pairs
from heldby.analysis.answering import answer_of
from heldby.analysis.drilldown.selection import Selection
from heldby.analysis.holding.holder_tree import build_holder_tree
from heldby.heap.heap import Heap
from heldby.render.first_screen import first_screen
from tests.support.build import REPOSITORY, build
from tests.support.process import running, wait_until_still
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace

MESSAGES = 20_000
#: The IDs have 114 bytes: "eu-west-1/production-3/shop/checkout-%08x-%05x/Orders/00-%032x-%016x-01".
STRING_SLOT = 128
SEEN = "main.manager.paths[*].Seen[*]"


@functools.cache
def story(go: Toolchain, messages: int, rate: int) -> tuple[Heap, Mapping[str, Any]]:
    """Return the heap of the service's manager after so many messages, and what it counts itself."""
    service = REPOSITORY / "examples" / "baselines"
    with tempfile.TemporaryDirectory() as folder:
        module = Path(folder) / "story"
        shutil.copytree(Path(__file__).parent / "programs" / "story", module)
        shutil.copytree(service / "measurement", module / "measurement")
        shutil.copy(service / "baseline.go", module)
        (module / "go.mod").write_text("module heldby.example/baselines\n\ngo 1.21\n")
        program = build(module, go)
    with running(program, [str(messages), str(rate)]) as process:
        wait_until_still(process.pid)
        return heldby.open(process.pid).heap, process.ready


def packages(heap: Heap, selection: Selection) -> Counter[str]:
    """Return the bytes of what is held beneath the manager's field, by the package that allocated them."""
    table = site_pairs(build_holder_tree(heap), by="package", selection=selection)
    found: Counter[str] = Counter()
    for row in table.rows():
        # From Go 1.27 on encoding/json is made of encoding/json/v2 and encoding/json/jsontext.
        package = "encoding/json" if str(row["site"]).startswith("encoding/json") else str(row["site"])
        found[package] += int(row["bytes"])  # type: ignore[arg-type]
    return found


def test_strings_come_from_encoding_json_and_all_else_from_the_manager(go: Toolchain) -> None:
    heap, counted = story(go, MESSAGES, 512 << 10)
    strings = packages(heap, Selection(type="string", holder="main.manager.paths"))
    everything = packages(heap, Selection(holder="main.manager.paths"))

    assert counted["seen"] == MESSAGES * 28
    assert strings["encoding/json"] >= 0.95 * sum(strings.values())
    # 16 bytes in a slice for each string of 128, and the free room that append leaves.
    assert set(everything - strings) <= {"main", "encoding/json"}
    assert (everything - strings)["main"] > 0


def test_screen_tells_who_allocated_and_who_holds(go: Toolchain) -> None:
    heap, _ = story(go, MESSAGES, 512 << 10)
    answer = answer_of(heap)

    screen = first_screen(answer, width=120).plain

    assert answer.holders[0].path == SEEN
    assert re.search(r"allocated at (encoding/)?json\S*\.\S+ \w+\.go:\d+ \d\d% \(\d+ samples\)", screen)
    assert re.search(r"pprof shows encoding/json\S* \d\d%, main\.\(\*Baseline\)\.Add \d+%", screen)


def test_the_lines_that_keep_the_strings_and_the_baselines_are_found(go: Toolchain) -> None:
    heap, _ = story(go, MESSAGES, 512 << 10)
    source = (REPOSITORY / "examples" / "baselines" / "baseline.go").read_text().splitlines()

    told = {
        holder.path: [(source[(each.line or 0) - 1].strip(), each.certainty) for each in holder.stored_by]
        for holder in answer_of(heap).holders
    }

    assert told[SEEN] == [("b.Seen = append(b.Seen, sample.ID)", "likely")]
    assert told["main.manager.paths[*]"] == [("bm.paths[k] = b", "likely")]


def test_every_byte_of_the_field_is_known_when_everything_is_sampled(go: Toolchain) -> None:
    heap, counted = story(go, 2000, 1)
    holder = "main.manager.paths"

    strings = packages(heap, Selection(type="string", holder=f"{holder}[*].Seen[*]"))
    arrays = packages(heap, Selection(type="[]string", holder=holder))

    assert strings == {"encoding/json": counted["seen"] * STRING_SLOT}
    assert set(arrays) == {"main"}
    assert arrays["main"] >= counted["seen_slots"] * 16
    rest = packages(heap, Selection(holder=holder)) - packages(heap, Selection(type="string", holder=holder))
    assert set(rest) == {"main"}  # the map, its entries and the arrays
