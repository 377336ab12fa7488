"""Where the memory went: every byte of RSS in a row."""

from __future__ import annotations

from heldby.analysis.rss.account import rss_account

__all__ = ["rss_account"]
