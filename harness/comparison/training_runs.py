"""The training runs that compared checkpoints belong to: the step of each checkpoint, and what the run's own trainer logged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import training_log
from harness.training_log import Curves
from harness.types import Json


@dataclass(frozen=True)
class Run:
    """One run.  `steps`: of each of its checkpoints, ascending; `final`: those that bear no number, at the last step known."""

    name: str
    method: str
    steps: Mapping[str, int]
    final: frozenset[str] = frozenset()
    curves: Curves = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """As in comparison.json."""
        curves = {q: {"key": c.key, "steps": list(c.steps), "values": list(c.values)} for q, c in self.curves.items()}
        return {
            "name": self.name,
            "method": self.method,
            "steps": dict(self.steps),
            "final": sorted(self.final),
            "curves": curves,
        }


def of(checkpoints: Mapping[str, Json], baseline: str) -> tuple[Run, ...]:
    """The runs of what checkpoint.json says (with `results`), in order; without those that hold the baseline alone."""
    members: dict[str, list[str]] = {}
    for name, about in checkpoints.items():
        if about.get("run"):
            members.setdefault(str(about["run"]), []).append(name)
    names = Counter(Path(folder).name for folder in members)
    found = []
    for folder, mine in members.items():
        if mine != [baseline]:
            path = Path(folder)
            short = path.name if names[path.name] == 1 else f"{path.parent.name}/{path.name}"
            found.append(one(short, {name: checkpoints[name] for name in mine}))
    return tuple(found)


def one(name: str, members: Mapping[str, Json]) -> Run:
    """A run from its members.  The latest that has a log tells the curves: it holds those of the earlier ones too."""
    final = frozenset(m for m, about in members.items() if about["step"] is None)
    numbered = sorted((int(about["step"]), m) for m, about in members.items() if about["step"] is not None)
    curves: Curves = {}
    for member in [*sorted(final), *(m for _, m in reversed(numbered))]:
        curves = training_log.stored(Path(members[member]["results"]), member, members[member])
        if curves:
            break
    last = max([step for step, _ in numbered] + [c.steps[-1] for c in curves.values()], default=None)
    steps = {m: step for step, m in numbered} | (dict.fromkeys(sorted(final), last) if last is not None else {})
    method = next((str(about["method"]) for about in members.values() if about.get("method")), "")
    return Run(name, method, steps, final, curves)


def unlogged(runs: tuple[Run, ...]) -> tuple[str, ...]:
    """Which runs have no log, in words."""
    silent = [run.name for run in runs if not run.curves]
    if not silent:
        return ()
    where = "neither kept with the results nor where the checkpoints lay"
    return (f"The training's own log (reward, KL, length) is unknown of {', '.join(silent)}: {where}.",)
