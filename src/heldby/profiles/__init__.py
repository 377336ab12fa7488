"""pprof profiles, read and written."""
