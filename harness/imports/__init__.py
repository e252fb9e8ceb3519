"""Other harnesses' logs, with the scores that they gave: one file a format, with `known` and `read`."""
