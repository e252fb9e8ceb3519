"""Function calls that a model writes: read from text without running anything, and compared with the calls that are allowed."""
