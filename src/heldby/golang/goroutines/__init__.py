"""Goroutines: where they are, what they wait on, and which words of their stacks keep objects alive."""
