"""Designs whose clusters, or groups, weigh differently in a score."""

from __future__ import annotations

import numpy as np

from harness.statistics.aggregates import Design


def macro_design(*sizes: int) -> Design:
    """Independent items in groups of these sizes."""
    return Design(np.arange(sum(sizes)), np.repeat(np.arange(len(sizes)), sizes), "macro")


def cluster_design(*sizes: int) -> Design:
    """A plain mean of samples in clusters of these sizes."""
    return Design(np.repeat(np.arange(len(sizes)), sizes), np.zeros(sum(sizes), np.int64))


UNEQUAL = {
    "macro of small groups": macro_design(1, 2, 50),
    "macro of pairs": macro_design(*[2] * 20),
    "passages of unlike length": cluster_design(*[1] * 25, *[40] * 5),
    "problems of four draws": cluster_design(*[4] * 20),
}
