"""Taking the memory of a live process without harming it. Knows nothing of analysis."""

from heldby.capture.process import Capture, Method, capture_process

__all__ = ["Capture", "Method", "capture_process"]
