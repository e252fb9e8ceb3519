"""One file, one benchmark; each ends with TASKS."""
