"""Files of other programs, one module a program: `read_outputs` (answers), `read_scores` (its scores), `write` (export)."""
