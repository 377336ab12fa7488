"""How long each question after the first screen takes, in CPU seconds, on a core that is analysed already.

    python -m benchmarks.questions CORE [--rounds 3]

The best round counts. What sets retain is prepared anew in each round, as each command does; the dominator tree
and the merged paths are there, as they are when the analysis was kept beside the capture.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import heldby
from heldby.analysis.drilldown import goroutines, paths, references, top, tree, what_if
from heldby.analysis.drilldown.selection import Selection
from heldby.analysis.holder_tree import build_holder_tree
from heldby.analysis.table import Table
from heldby.heap.heap import Heap

ROWS = 20


def questions(heap: Heap) -> dict[str, Callable[[], Table]]:
    """Return the questions; what they ask about is the largest of this heap."""
    holder = str(tree.merged_tree(heap, depth=1, most=3)["path"].to_list()[0])
    kind = str(top.top(heap, "type", limit=1)["type"].to_list()[0])
    addr = int(tree.object_tree(heap, depth=2)["addr"].values[-1])
    asked: dict[str, Callable[[], Table]] = {
        f"top --by {by}": lambda by=by: top.top(heap, by, limit=ROWS) for by in top.DIMENSIONS
    }
    return asked | {
        "top, every row": lambda: top.top(heap, "type"),
        "top --holder": lambda: top.top(heap, "type", selection=Selection(holder=holder), limit=ROWS),
        "tree": lambda: tree.merged_tree(heap, depth=6, most=ROWS),
        "tree --objects": lambda: tree.object_tree(heap, depth=2),
        "paths TYPE": lambda: paths.paths(heap, kind),
        "paths TYPE --strong": lambda: paths.paths(heap, kind, strong=True),
        "paths ADDR --all-roots": lambda: paths.paths_of_all_roots(heap, hex(addr)),
        "refs --in": lambda: references.references(heap, addr, into=True),
        "refs --out": lambda: references.references(heap, addr, into=False),
        "goroutines": lambda: goroutines.goroutines(goroutines.read_goroutine_stacks(heap), limit=ROWS),
        "what-if": lambda: what_if.what_if(heap, [holder]),
    }


def main() -> None:
    """Print a table of Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("core")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    heap = heldby.open(arguments.core).heap
    _ = heap.retained_bytes, build_holder_tree(heap)
    print(f"| {heap.object_count:,} objects | CPU s | wall s | rows |\n| --- | ---: | ---: | ---: |")
    for name, ask in questions(heap).items():
        best, wall, rows = float("inf"), float("inf"), 0
        for _round in range(arguments.rounds):
            heap.__dict__.pop("retained_sets", None)
            began, began_wall = time.process_time(), time.monotonic()
            rows = len(ask())
            best = min(best, time.process_time() - began)
            wall = min(wall, time.monotonic() - began_wall)
        print(f"| {name} | {best:.2f} | {wall:.2f} | {rows} |", flush=True)


if __name__ == "__main__":
    main()
