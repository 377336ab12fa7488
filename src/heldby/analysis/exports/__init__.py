"""A heap as profiles for `go tool pprof`."""
