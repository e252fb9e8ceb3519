"""Scoring checkpoints on tasks: all of them, in turn until decided, again for the noise, or while training writes them."""
