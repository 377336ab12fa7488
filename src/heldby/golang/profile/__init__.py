"""The runtime's own memory profile: which stacks allocated the sampled objects."""
