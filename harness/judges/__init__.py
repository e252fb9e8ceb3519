"""Judges: one file each, with `load(where)`, which gives a harness.types.Judge."""
