"""Checkpoints as models: what can be loaded, found out from headers, and the one way in which it is loaded."""
