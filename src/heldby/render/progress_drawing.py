"""How rich draws a phase: its name, a bar, the amount, the rate and the time left."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from heldby.units import format_amount, format_seconds

_DRAWINGS_A_SECOND: Final = 8


def new_bar(console: Console) -> Progress | None:
    """Return a bar without a phase, not drawn yet; None where nothing can be drawn over."""
    if not console.is_terminal or console.is_dumb_terminal:
        return None
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        _Amount(),
        console=console,
        transient=True,
        refresh_per_second=_DRAWINGS_A_SECOND,
    )


class _Amount(ProgressColumn):
    """``1.2 of 3.4 GiB, 512 MiB/s, 4 s left``; leaves out what is unknown."""

    def render(self, task: Task) -> Text:
        unit = str(task.fields.get("unit", ""))
        parts = []
        if task.completed:
            done = format_amount(task.completed, unit)
            parts.append(f"{done} of {format_amount(task.total, unit)}" if task.total else done)
            if task.elapsed and task.elapsed > 0.5:
                parts.append(f"{format_amount(task.completed / task.elapsed, unit)}/s")
        if task.total and task.completed and task.elapsed:
            left = task.elapsed * (task.total - task.completed) / task.completed
            parts.append(f"{format_seconds(max(left, 0.0))} left")
        elif task.elapsed and task.elapsed >= 0.1:
            parts.append(format_seconds(task.elapsed))
        return Text(", ".join(parts), no_wrap=True, style="dim")
