"""The same in Python as on the command line: score(paths, tasks=..., output=...)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import config, data, discovery, registry
from harness.checkpoint_selection import Selection
from harness.evaluation import workers
from harness.evaluation.lazy_model import LazyModel, Loader
from harness.evaluation.outcome import Outcome, Progress, SilentProgress
from harness.evaluation.plugin_loader import PluginLoader, SettingsLoader
from harness.evaluation.preflight import announce_unloadable, is_server
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.result_names import check_name, choose_names
from harness.evaluation.run import score_checkpoints
from harness.file_hashes import hash_files
from harness.named_bases import adopt_named_bases
from harness.store import Results
from harness.types import Checkpoint, Model, SkilldeltaError, Task, digest, unknown_name

if TYPE_CHECKING:
    from harness.comparison.result import Comparison
    from harness.evaluation.repeatability import NoiseCheck
    from harness.records import SequentialVerdict

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

    def loader(self) -> PluginLoader:
        """What makes a checkpoint's model ready.  Wrong settings are refused here, before anything is loaded."""
        name, _, rest = self.name.partition(":")
        plugin = registry.module("backends", name)
        options = config.build_config(
            config.options_type(plugin.load), {"backend": rest, **self.options} if rest else self.options
        )

        def load(checkpoint: Checkpoint) -> Model:
            model: Model = plugin.load(checkpoint, options)
            return model

        kind = SettingsLoader if hasattr(plugin, "settings_differences") else PluginLoader
        return kind(load, plugin, options)


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; nothing here moves a score."""

    name: str = ""  # of the only checkpoint; "": its own
    progress: Progress | None = None
    noise: NoiseCheck | None = None
    selection: Selection = field(default_factory=Selection)
    devices: str = ""  # "all", or a comma-separated list: a worker process for each; "": the backend's own device, here
    cluster: workers.RunElsewhere | None = None  # other machines do the work


def score(
    paths: str | Path | Sequence[str | Path],
    tasks: str | Task | Sequence[str | Task],
    output: str | Path,
    *,
    backend: Backend | None = None,
    settings: EvaluationSettings | None = None,
    options: RunOptions | None = None,
) -> list[Outcome]:
    """Scores every checkpoint at or below `paths` on every task (one or several of each), except what `output` holds.

    With `options.noise`, a share of each cell is asked once more in other batches, and its task.json keeps what changed.
    SkilldeltaError for unknown names and settings; a failure of one checkpoint on one task is its Outcome.
    """
    options, settings, backend = options or RunOptions(), settings or default_settings(), backend or Backend()
    loader = backend.loader()
    checkpoints, to_answer = find_checkpoints(paths, loader, options.selection), resolve_tasks(tasks)
    results = Results.make(output)
    run = workers.SpreadRun(choose_names(checkpoints, options.name, results), to_answer, results, settings)
    progress: Progress = options.progress or SilentProgress()
    if options.noise and (options.devices or options.cluster):
        raise SkilldeltaError("--check-noise asks again while a model is loaded: use it with one --device, and no --cluster.")
    if options.cluster:
        return options.cluster.score(run, backend, progress)
    announce_unloadable(run.checkpoints, run.tasks, loader, results, progress)
    if options.devices:
        return workers.score_on_devices(run, device_loaders(backend, options.devices), progress)
    if options.noise:
        repeating = options.noise.attach(loader, run.tasks, run.results, settings, progress)
        loader, progress = replace(loader, load=repeating.load), repeating
    return score_checkpoints(run.checkpoints, run.tasks, loader, run.results, settings, progress)


def device_loaders(backend: Backend, devices: str) -> dict[str, Loader]:
    """A loader for each device, by a name of its own: cpu, cpu (2), cuda:0."""
    names = workers.list_devices(devices)
    labels = [f"{name} ({before + 1})" if (before := names[:at].count(name)) else name for at, name in enumerate(names)]
    pairs = zip(labels, names, strict=True)
    return {label: replace(backend, options={**backend.options, "device": name}).loader() for label, name in pairs}


def compare_in_turn(
    candidates: str | Sequence[str],
    baseline: str,
    tasks: Sequence[str | Task],
    output: str | Path,
    *,
    backend: Backend | None = None,
    settings: EvaluationSettings | None = None,
) -> Iterator[SequentialVerdict]:
    """Asks checkpoints and their baseline in turn until each task is decided.

    With `settings.margin` also when they are the same.  `candidates`: paths of checkpoints or runs, which race together.
    """
    from harness.evaluation import sequential

    paths = [candidates] if isinstance(candidates, str) else list(candidates)
    models = lazy_models(paths, baseline, (backend or Backend()).loader())
    return sequential.compare_in_turn(models, resolve_tasks(tasks), Results.make(output), settings or default_settings())


def lazy_models(paths: Sequence[str], baseline: str, loader: Loader, selection: Selection = Selection()) -> list[LazyModel]:
    """The baseline, which is a path or the name of a checkpoint of `paths`, and every other checkpoint of `paths`."""
    others = find_checkpoints(paths, loader, selection)
    first = next((c for c in others if c.name == baseline), None)
    if first is None and not is_server(loader) and not Path(baseline).exists() and "/" not in baseline:
        raise unknown_name("folder or checkpoint", baseline, [c.name for c in others])
    first = first or only_checkpoint(baseline, selection, loader)
    models = [LazyModel(c, loader) for c in adopt_named_bases([first, *(c for c in others if c.path != first.path)])]
    if len(models) < 2:
        raise SkilldeltaError(f"There is no checkpoint to compare with {first.name}: name a folder of another one.")
    return models


def find_checkpoints(
    paths: str | Path | Sequence[str | Path], loader: Loader | None, selection: Selection = Selection()
) -> list[Checkpoint]:
    """The checkpoints at or below `paths`; for a server's loader, the models that it has under these names."""
    find = discovery.name_served_models if is_server(loader) else discovery.find_checkpoints
    return find([str(path) for path in ([paths] if isinstance(paths, str | Path) else paths)], selection)


def only_checkpoint(path: str, selection: Selection = Selection(), loader: Loader | None = None) -> Checkpoint:
    """The one checkpoint at or below a path; SkilldeltaError where there are several."""
    checkpoints = find_checkpoints([path], loader, Selection(base=selection.base, tokenizer=selection.tokenizer))
    if len(checkpoints) != 1:
        names = ", ".join(c.name for c in checkpoints)
        raise SkilldeltaError(f"{path} holds {len(checkpoints)} checkpoints ({names}): name one of them.")
    return checkpoints[0]


def score_recorded(
    files: Sequence[str],
    tasks: Sequence[str | Task],
    output: str | Path,
    *,
    reading: Mapping[str, Any] | None = None,
    settings: EvaluationSettings | None = None,
    options: RunOptions | None = None,
) -> list[Outcome]:
    """Scores outputs that some other program recorded, as the checkpoint `options.name` (default: by the first file's name).

    `reading`: settings of the backend `recorded`, such as the names of columns.
    """
    options = options or RunOptions()
    paths = [str(path) for file in files for path in list_files(file)]
    content = hash_files(Path(path) for path in paths)
    reading = dict(reading or {})
    check_name(name := options.name or Path(files[0]).stem)
    checkpoint = Checkpoint(name, "", "recorded", content=digest([content, reading]))
    loader, results = Backend("recorded", {"files": paths, **reading}).loader(), Results.make(output)
    return score_checkpoints(
        [checkpoint], resolve_tasks(tasks), loader, results, settings or default_settings(), options.progress
    )


def compare(results: str | Path | Sequence[str | Path], baseline: str, **settings: Any) -> Comparison:
    """Every checkpoint in `results` (a folder or several) against the one named `baseline`.

    `settings` are fields of comparison.result.ComparisonSettings.
    """
    from harness.comparison.compare import compare as run
    from harness.comparison.result import ComparisonSettings

    return run(results, baseline, config.build_config(ComparisonSettings, settings))


def list_files(file: str) -> list[Path]:
    """A file, or every file of a folder."""
    path = Path(file)
    if not path.exists():
        raise SkilldeltaError(f"There is no file {file}.")
    return sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]


def resolve_tasks(tasks: str | Task | Iterable[str | Task]) -> list[Task]:
    """Tasks, where some are only named; a name alone, or several with commas between, as on the command line."""
    names_or_tasks = config.split_names([tasks]) if isinstance(tasks, str) else [tasks] if isinstance(tasks, Task) else tasks
    return [registry.task(task) if isinstance(task, str) else task for task in names_or_tasks]


def default_settings() -> EvaluationSettings:
    return EvaluationSettings(folder=data.default_folder())


def generation(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of Request from generation settings by our names or lm-eval's."""
    ours = {GEN_KWARGS.get(k, k): v for k, v in values.items()}
    return {k: v for k, v in config.to_plain(config.build_config(GenerationSettings, ours)).items() if v is not None}


def limits(limit: int | None, seed: int | None) -> dict[str, data.ExampleSelection]:
    """--limit for every task alike.  Raises SkilldeltaError for a limit below 1."""
    if limit is not None and limit < 1:
        raise SkilldeltaError(f"The limit is {limit}: write 1 or more, or leave it out to score every example.")
    return {} if limit is None else {"": data.ExampleSelection(limit, seed)}


def use_data(folder: Path | None) -> Path | None:
    """The folder with local data, which must exist; the same for everything that this process starts."""
    if folder is not None:
        if not folder.is_dir():
            raise SkilldeltaError(f"The data folder {folder} does not exist (--data or {data.VARIABLE}).")
        os.environ[data.VARIABLE] = str(folder)
    return folder


def resolve(
    names: str, include: Sequence[Path] = (), prompts: registry.PromptSettings = registry.PromptSettings()
) -> list[Task]:
    """Tasks by name, separated by commas."""
    return [registry.task(name, include, prompts) for name in config.split_names([names])]
