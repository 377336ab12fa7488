"""What the kernel says of the processor."""

from __future__ import annotations

from pathlib import Path


def first_processor() -> list[str]:
    """Return the lines of ``/proc/cpuinfo`` on the first processor."""
    return Path("/proc/cpuinfo").read_text("utf-8").split("\n\n", 1)[0].splitlines()
