"""Stored results as other programs want them: one file a format, with `write`."""
