"""Every Go release in every build, against the collector: ``make matrix`` writes docs/matrix.md."""
