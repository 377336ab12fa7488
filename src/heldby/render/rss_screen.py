"""The screen of ``heldby rss``: the verdict, every row with what it consists of, the collector, other settings."""

from __future__ import annotations

import textwrap

from rich.console import Console
from rich.text import Text

from heldby.analysis.answer import Answer, CollectorFacts, RssAccount, Setting
from heldby.render.first_screen import NARROWEST, caveat_lines, identity, verdict_lines
from heldby.render.plain_text import print_text, printable
from heldby.render.waterfall import waterfall_lines
from heldby.units import format_bytes, format_count, format_seconds


def print_rss_screen(console: Console, answer: Answer, *, all_caveats: bool = False) -> None:
    """Print `answer` as wide as `console` is."""
    print_text(console, rss_screen(answer, width=console.width, all_caveats=all_caveats))


def rss_screen(answer: Answer, *, width: int = 80, all_caveats: bool = False) -> Text:
    """Return the screen, styled, without a line break at the end; `all_caveats` also details the small rows."""
    width = max(width, NARROWEST)
    account = answer.rss
    lines = [*verdict_lines(account, width), identity(answer, width), Text()]
    lines += waterfall_lines(account, width, details=True, detailed_from=0.0 if all_caveats else 0.01)
    if account.collector is not None:
        lines += [Text(), Text("COLLECTOR", style="bold"), *_collector_lines(account.collector, width)]
    if account.settings:
        lines += [Text(), Text("OTHER SETTINGS", style="bold"), *_setting_lines(account, width)]
    caveats = caveat_lines(answer, width, show_all=all_caveats)
    if caveats:
        lines += [Text(), *caveats]
    for line in lines:
        line.rstrip()
    return Text("\n").join(lines)


def _collector_lines(facts: CollectorFacts, width: int) -> list[Text]:
    gogc = "off" if facts.gogc_off else "unknown" if facts.gogc is None else str(facts.gogc)
    limit = "none" if facts.memory_limit_bytes is None else format_bytes(facts.memory_limit_bytes)
    if facts.gogc is None and not facts.gogc_off:
        limit = "unknown"
    parts = [f"GOGC {gogc}", f"GOMEMLIMIT {limit}"]
    if facts.goal_bytes is not None:
        parts.append(f"goal {format_bytes(facts.goal_bytes)}")
    if facts.marked_bytes is not None:
        parts.append(f"{format_bytes(facts.marked_bytes)} live after the last collection")
    if facts.heap_bytes is not None:
        parts.append(f"{format_bytes(facts.heap_bytes)} now")
    cycles = []
    if facts.cycles is not None:
        forced = f" ({format_count(facts.forced_cycles)} forced)" if facts.forced_cycles else ""
        cycles.append(f"collections: {format_count(facts.cycles)}{forced}")
    if facts.seconds_since_last is not None:
        cycles.append(f"the last {format_seconds(facts.seconds_since_last)} ago")
    if facts.cpu_share is not None:
        cycles.append(f"{facts.cpu_share:.1%} of the CPU")
    if facts.longest_recent_pause_seconds:
        cycles.append(f"longest pause {format_seconds(facts.longest_recent_pause_seconds)}")
    texts = [", ".join(group) for group in (parts, cycles) if group]
    return [Text(f"  {piece}") for text in texts for piece in textwrap.wrap(text, width - 2)]


def _setting_lines(account: RssAccount, width: int) -> list[Text]:
    """Return a line for each setting, the cost below it: peaks by the pacer's formula, at today's live heap."""
    lines = []
    for setting in account.settings:
        label = f"  {setting.setting:<20} "
        lines += [
            Text((" " * len(label) if number else label) + piece)
            for number, piece in enumerate(textwrap.wrap(_effect(setting), width - len(label)))
        ]
        lines += [
            Text(f"      {piece}", style="dim")
            for piece in textwrap.wrap(printable(setting.note or ""), width - 6)
        ]
    return lines


def _effect(setting: Setting) -> str:
    peak = f"heap up to {format_bytes(setting.goal_bytes)}"
    if setting.saving_bytes:
        word = "less" if setting.saving_bytes > 0 else "more"
        peak += f", {format_bytes(abs(setting.saving_bytes))} {word}"
    if setting.collections is not None and setting.collections != 1:
        peak += f"; {setting.collections:.3g} times as many collections"
    return peak
