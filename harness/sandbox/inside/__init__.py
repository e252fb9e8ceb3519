"""What runs in the sandbox's own processes: standard library only, never the process that holds a model."""
