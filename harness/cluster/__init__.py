"""Scoring on several machines: workers on a Ray cluster answer, and an array of SLURM jobs; one process stores and scores."""
