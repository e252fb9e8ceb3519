"""The same in Python as on the command line: score(paths, tasks=..., output=...)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import config, data, discovery, fingerprint, registry
from harness.evaluation import evaluate
from harness.evaluation.evaluate import Lazy, Loader, Outcome, Progress, Settings
from harness.store import Results
from harness.types import Checkpoint, Model, SkilldeltaError, Task, digest

if TYPE_CHECKING:
    from harness.comparison.result import Comparison
    from harness.evaluation.repeatability import Reasked, Rechecks
    from harness.evaluation.sequential import Settled

GEN_KWARGS = {"max_gen_toks": "max_tokens", "until": "stop"}  # lm-eval's names for ours


@dataclass(frozen=True)
class GenerationSettings:
    """What may be changed about generation for every task; None leaves what the task asks."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Backend:
    """Which backend answers, and its settings."""

    name: str = "transformers"
    options: Mapping[str, Any] = field(default_factory=dict)

    def loader(self) -> Callable[[Checkpoint], Model]:
        """What makes a checkpoint's model ready.  Wrong settings are refused here, before anything is loaded."""
        name, _, rest = self.name.partition(":")
        plugin = registry.module("backends", name)
        options = config.build(plugin.Options, {"backend": rest, **self.options} if rest else self.options)

        def load(checkpoint: Checkpoint) -> Model:
            model: Model = plugin.load(checkpoint, options)
            return model

        return load


def score(
    paths: Sequence[str],
    tasks: Sequence[str | Task],
    output: str | Path,
    *,
    backend: Backend | None = None,
    settings: Settings | None = None,
    name: str = "",
    progress: Progress | None = None,
    noise: Noise | None = None,
) -> list[Outcome]:
    """Scores every checkpoint at or below `paths` on every task; what `output` holds already is not asked again.

    With `noise`, a share of each cell is asked once more in other batches, and what changed is kept with it.
    """
    found = named(discovery.checkpoints(paths), name)
    chosen = [registry.task(t) if isinstance(t, str) else t for t in tasks]
    loader = (backend or Backend()).loader()
    results, ready = Results.make(output), settings or default_settings()
    if noise is None:
        return evaluate.score(found, chosen, loader, results, ready, progress)
    checks = noise.checks(loader, chosen, results, ready, progress or evaluate.Silent())
    outcomes = evaluate.score(found, chosen, checks.load, results, ready, checks)
    noise.found.extend(checks.found)
    return outcomes


@dataclass(frozen=True)
class Noise:
    """How large a share (0..1) of each cell to ask again; `found` tells afterwards what changed."""

    share: float
    found: list[Reasked] = field(default_factory=list)

    def checks(self, loader: Loader, tasks: Sequence[Task], results: Results, settings: Settings, told: Progress) -> Rechecks:
        from harness.evaluation.repeatability import Rechecks, Share, again
        from harness.judges import assignment

        if not 0 < self.share <= 1:
            raise SkilldeltaError(f"--check-noise {self.share:g}: a share above 0 and at most 1 (0.02 is 2 %).")
        bound = assignment.bind_all(tasks, settings.judges)
        return Rechecks(
            loader, told, bound, lambda lazy, task: again(lazy, task, results, settings, Share(self.share, least=1))
        )


def race(
    candidate: str,
    baseline: str,
    tasks: Sequence[str | Task],
    output: str | Path,
    *,
    backend: Backend | None = None,
    settings: Settings | None = None,
    margin: float = 0.0,
) -> Iterator[Settled]:
    """Asks two checkpoints in turn until each task is decided; with `margin` (points) also when they are the same."""
    from harness.evaluation.sequential import race as run

    chosen = [registry.task(t) if isinstance(t, str) else t for t in tasks]
    ready = settings or default_settings()
    loader = (backend or Backend()).loader()
    pair = [Lazy(only(path), loader) for path in (baseline, candidate)]
    return run((pair[0], pair[1]), chosen, Results.make(output), ready, margin)


def only(path: str) -> Checkpoint:
    """The one checkpoint at or below a path."""
    found = discovery.checkpoints([path])
    if len(found) != 1:
        raise SkilldeltaError(f"{path} holds {len(found)} checkpoints ({', '.join(c.name for c in found)}): name one of them.")
    return found[0]


def score_recorded(
    files: Sequence[str],
    name: str,
    tasks: Sequence[str | Task],
    output: str | Path,
    *,
    options: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Scores outputs that some other program recorded, as the checkpoint `name`."""
    paths = [str(p) for f in files for p in expand(f)]
    content = fingerprint.files(Path(p) for p in paths)
    given = {"files": paths, **(options or {})}
    checkpoint = Checkpoint(name, "", "recorded", content=digest([content, {k: v for k, v in given.items() if k != "files"}]))
    chosen = [registry.task(t) if isinstance(t, str) else t for t in tasks]
    loader = Backend("recorded", given).loader()
    return evaluate.score([checkpoint], chosen, loader, Results.make(output), settings or default_settings(), progress)


def compare(results: str | Path | Sequence[str | Path], baseline: str, **settings: Any) -> Comparison:
    """Every checkpoint in `results` (a folder or several) against the one named `baseline`; see comparison.result.Settings."""
    from harness.comparison.compare import compare as run
    from harness.comparison.result import Settings as Choices

    return run(results, baseline, config.build(Choices, settings))


def expand(file: str) -> list[Path]:
    """A file, or every file of a folder."""
    path = Path(file)
    if not path.exists():
        raise SkilldeltaError(f"There is no file {file}.")
    return sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]


def named(found: list[Checkpoint], name: str) -> list[Checkpoint]:
    """The only checkpoint under another name."""
    if not name:
        return found
    if len(found) != 1:
        raise SkilldeltaError(f"--name {name} needs exactly one checkpoint; found: {', '.join(c.name for c in found)}.")
    return [replace(found[0], name=name)]


def default_settings() -> Settings:
    return Settings(folder=data.default_folder())


def generation(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of Request from generation settings by our names or lm-eval's."""
    ours = {GEN_KWARGS.get(k, k): v for k, v in values.items()}
    return {k: v for k, v in config.dump(config.build(GenerationSettings, ours)).items() if v is not None}


def limits(limit: int | None, seed: int | None) -> dict[str, data.Selection]:
    """--limit for every task alike."""
    return {} if limit is None else {"": data.Selection(limit, seed)}


def use_data(folder: Path | None) -> Path | None:
    """The folder with local data, which must exist; the same for everything that this process starts."""
    if folder is not None:
        if not folder.is_dir():
            raise SkilldeltaError(f"The data folder {folder} does not exist (--data or {data.VARIABLE}).")
        os.environ[data.VARIABLE] = str(folder)
    return folder


def resolve(names: str, include: Iterable[Path] = (), num_fewshot: int | None = None) -> list[Task]:
    """Tasks by name, separated by commas."""
    return [registry.task(n.strip(), include, num_fewshot) for n in names.split(",") if n.strip()]
