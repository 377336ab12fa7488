"""Taking the memory of a live process without harming it. Knows nothing of analysis."""

from heldby.capture.permissions import Check, Diagnosis, examine
from heldby.capture.process import Capture, Method, capture_process

__all__ = ["Capture", "Check", "Diagnosis", "Method", "capture_process", "examine"]
