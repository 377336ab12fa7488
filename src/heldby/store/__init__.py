"""What an analysis found, kept beside its capture, so that the next question opens it instead of analysing again.

A folder ``CAPTURE.heldby`` of arrays, texts and a manifest; safe to delete. `contents` lists what is in it.
"""

from __future__ import annotations

from heldby.store.opening import Opened, open_capture

__all__ = ["Opened", "open_capture"]
