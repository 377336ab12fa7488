"""Who holds what: the merged dominator tree, the rows of the answer, and which object belongs to which row."""
