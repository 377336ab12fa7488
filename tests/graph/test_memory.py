"""What the dominator tree costs in memory, frozen: a change needs a reason in its commit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MEASURE = """
from pathlib import Path
from benchmarks.graph_kernels import resident, synthetic
from heldby.graph.dominators import dominators
dominators(synthetic(10_000)[0])  # compiled before
graph, _, _ = synthetic(1_000_000)
before = resident("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
dominators(graph)
print((resident("VmHWM") - before) / 1_000_000)
"""


def test_dominators_need_28_bytes_for_each_object() -> None:
    # 100 bytes an object is the budget of a whole analysis; 28 = order, parent, starts, idom at 4 bytes, link at
    # 8 and 4 for each edge outside the spanning tree, about one per object here.
    # With a fixed threshold, malloc gives freed arrays back at once instead of growing its heap.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", MEASURE]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False
    )

    assert done.returncode == 0, done.stderr
    assert 20 < float(done.stdout) < 31
