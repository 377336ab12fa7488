"""Blocked finalizers and cleanups: what waits in the runtime's queues is live, named or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import heldby
from tests.support.build import MODES, Mode, build
from tests.support.process import running, wait_until_still
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace

PROGRAM = Path(__file__).parent / "programs" / "queues"


@pytest.mark.parametrize("mode", MODES)
def test_what_waits_for_a_blocked_finalizer_is_live(mode: Mode, go: Toolchain) -> None:
    with running(build(PROGRAM, go, mode)) as program:
        wait_until_still(program.pid)
        heap = heldby.open(program.pid).heap
    marked = heap.objects.marked.astype(bool)

    lost = np.flatnonzero(marked & ~heap.live)

    # 499 buffers of 1,000 bytes wait with their resource, 499 of 2,000 as a cleanup's argument.
    assert int((heap.live & (heap.sizes[: heap.object_count + 1] == 1024)).sum()) >= 499
    if go.minor >= "1.24":
        assert int((heap.live & (heap.sizes[: heap.object_count + 1] == 2048)).sum()) >= 499
    assert [heap.naming.type_name(heap.naming.type_at(int(i))) for i in lost] == []
