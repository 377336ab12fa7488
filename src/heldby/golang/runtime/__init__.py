"""Finding the Go runtime in memory, and reading its structures as columns."""
