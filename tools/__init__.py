"""Scripts for those who work on heldby; not part of the package."""
