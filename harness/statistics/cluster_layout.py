"""How the clusters of a task vary: what each of them counts in the variance of its score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.statistics.aggregates import Design, Floats, Ints
from harness.statistics.pseudo_observations import cluster_weight, stratum_scale


@dataclass(frozen=True)
class ClusterLayout:
    """How the clusters of a task vary.

    `strata` [clusters]: the stratum of each, -1 for one without a score.  `scale` [clusters]: the variance of the task's score
    is the sum of the squares of what influences make with it.  `whole`: what a cluster adds that changes as a whole; 1 where
    none can, as of an F1 without positives, whose error cannot be known.
    """

    strata: Ints
    scale: Floats
    whole: float

    @classmethod
    def of_design(cls, design: Design, clusters: int) -> ClusterLayout:
        """Of samples whose clusters have codes below `clusters`."""
        strata, scale = np.full(clusters, -1), np.zeros(clusters)
        if len(design.cluster):
            codes = np.unique(design.cluster)
            strata[codes], scale[codes] = design.cluster_strata, np.sqrt(stratum_scale(design))[design.cluster_strata]
        return cls(strata, scale, (cluster_weight(design) or 1.0) if len(design.cluster) else 0.0)
