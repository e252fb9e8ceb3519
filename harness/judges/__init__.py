"""Judges: one file each, with `load(where)`, which gives a harness.types.Judge.

A file may have `identity(where)`, what its grades are known by (else it is the content of `where`), and is cheap to import.
"""
