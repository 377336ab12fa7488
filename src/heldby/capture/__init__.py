"""Taking the memory of a live process without harming it. Knows nothing of analysis."""
