"""The runtime's accounts of itself: counters, the collector's settings, metadata, free pages, stack memory."""
