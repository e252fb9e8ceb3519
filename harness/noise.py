"""What asking some items twice has shown: how far a model disagrees with itself."""

from dataclasses import dataclass, field

from harness.types import Json


@dataclass(frozen=True)
class Noise:
    """`n` items asked twice; `flips` of them scored differently; `shift` is the second mean minus the first (0..1).

    `answers`: how many were answered differently (another text, another likeliest choice), scored or not; `drift`: the most
    that the log-probability of a choice moved, in nats; `square`: the mean squared change of a score, None in older results.
    """

    n: int
    flips: int
    shift: float
    answers: int = 0
    drift: float = 0.0
    square: float | None = None
    plain: float | None = None  # root mean square, in nats a token: how far two plain batches of the model are apart
    ours: float | None = None  # the same: how far the engine's log-probabilities are from the mean of the plain ones
    backend: Json = field(default_factory=dict)  # the settings of the model that answered the second time

    @property
    def rate(self) -> float:
        """The share of flips, where a score between 0 and 1 counts by the square of its change."""
        return (self.flips / self.n if self.square is None else self.square) if self.n else 0.0
