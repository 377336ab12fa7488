"""The heap as the collector sees it: spans, allocated slots, pointers between them, specials."""
