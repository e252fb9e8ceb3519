"""The bridge to lm-eval's tasks: `lm-eval:NAME` is any of them, with its own prompts, exemplars, filters and metrics.

Requests are those of lm-eval itself, byte for byte: its seeds, its order, its left cut of long prompts.
A group is one task here, its members the groups of its examples.  The score is the first metric of the first filter that is a
mean of values in 0..1 and better when higher; every other mean is a metric of the task, never mixed into the score.  Figures
that are no means over documents (corpus BLEU, F1 over a corpus, perplexity) cannot be paired and are left out.  Such a metric
is a mean over all documents, also where the score is a mean over members.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.bounded_files import read_bytes
from harness.interchange import benchmarks
from harness.registry import PromptSettings, foreign_task_files
from harness.types import Aggregate, Example, Json, Metric, Request, Response, Score, SkilldeltaError, Task, digest
from harness.yaml_files import MAX_BYTES
from tasks.lm_eval_bridge.documents import SEED, MemberTask, RandomState, foreign_errors, lm_eval_responses, runs_code_error
from tasks.lm_eval_bridge.requests import REQUEST_BUILDERS
from tasks.lm_eval_bridge.task_files import find_folder, mentioning_folders, resolve_names

PREFIX = "lm-eval:"
OWN_TASKS = "--include-path names a folder with tasks of your own."


def load_task(name: str, include: tuple[Path, ...] = (), prompts: PromptSettings = PromptSettings()) -> Task:
    """The lm-eval task or group `name`, from the folders in `include` or from lm-eval itself.

    `prompts.num_fewshot` replaces the task's own number of exemplars.  SkilldeltaError where lm-eval has no such task.  A task
    that cannot be loaded, or is scored in a way that has no place here, fails alone: its rows raise the reason.
    """
    if prompts.multiturn and not prompts.chat:
        raise SkilldeltaError("--fewshot-as-multiturn needs a chat template: name one with --apply-chat-template (auto, tulu).")
    manager = find_manager(name, [str(folder) for folder in task_folders(include)])
    if name not in manager.all_tasks:
        raise SkilldeltaError(f"lm-eval {lm_eval_version()} has no task, group or tag {name!r}. {OWN_TASKS}")
    try:
        return bridge_task(name, manager, prompts)
    except SkilldeltaError as error:
        return unusable_task(name, error)


def unusable_task(name: str, reason: SkilldeltaError) -> Task:
    """A task that cannot be asked: reading its rows raises the reason."""

    def refuse(*_: Any) -> Any:
        raise reason

    skill = benchmarks.find_skill(name) or "other"
    source = f"lm-eval {lm_eval_version()}, {name}"
    return Task(f"{PREFIX}{name}", skill, 1, source, rows=refuse, ask=refuse, score=refuse, ideal=ideal, summary=str(reason))


def bridge_task(name: str, manager: Any, prompts: PromptSettings) -> Task:
    """The task or group `name` of an index.  SkilldeltaError where it cannot be loaded, or has no place here."""
    random_state = RandomState()
    with random_state:
        tasks, aggregate = load_lm_eval_tasks(name, manager)
    set_fewshot(name, tasks.values(), prompts.num_fewshot)
    group = GroupTask(name, {key: MemberTask(task, random_state, prompts) for key, task in tasks.items()})
    first = next(iter(group.members.values()))
    return Task(
        name=f"{PREFIX}{name}",
        skill=benchmarks.find_skill(name) or "other",
        version=1,
        source=", ".join([f"lm-eval {lm_eval_version()}, {name}, version {first.version}", *describe_prompts(prompts, first)]),
        rows=group.rows,
        ask=group.ask,
        score=group.score,
        ideal=ideal,
        group=(lambda e: str(e.row["lm_eval_task"])) if len(tasks) > 1 else None,
        aggregate=aggregate,
        metrics=group.metrics,
        scores_silence=True,  # as lm-eval does; health counts the empty ones
        summary=f"lm-eval's {name}; headline {first.headline}",
    )


def describe_prompts(prompts: PromptSettings, first: MemberTask) -> Iterator[str]:
    """In words, how the prompts differ from what the task's own file says."""
    if prompts.num_fewshot is not None:
        yield f"{prompts.num_fewshot} exemplars"
    if prompts.chat:
        yield "chat template" + ("" if prompts.multiturn is None or prompts.multiturn else ", exemplars in one turn")
    if prompts.system:
        yield f"system instruction {digest(prompts.system, 8)}"
    if first.repeats > 1:
        yield f"the first of {first.repeats} repeats"


def lm_eval_version() -> str:
    return importlib.metadata.version("lm_eval")


def ideal(example: Example) -> Response:
    raise SkilldeltaError("lm-eval's tasks do not define a perfect response.")


def set_fewshot(name: str, tasks: Iterable[Any], number: int | None) -> None:
    """Seeds the choice of exemplars and sets their number.  A task whose file says 0 keeps 0, as in lm-eval."""
    members = list(tasks)
    if number is not None and all(task.config.num_fewshot == 0 for task in members) and number:
        raise SkilldeltaError(f"lm-eval's {name} is zero-shot by its own file: leave --num-fewshot out.")
    for task in members:
        task.set_fewshot_seed(seed=SEED)
        if number is not None and task.config.num_fewshot != 0:
            task.set_config(key="num_fewshot", value=number)


def task_folders(include: Iterable[Path]) -> list[Path]:
    """The folders with task files of the user's own; a single file stands for its folder."""
    paths = [path for path in include if any(foreign_task_files(path))]
    folders = list(dict.fromkeys(path if path.is_dir() else path.parent for path in paths))
    for file in (file for folder in folders for file in foreign_task_files(folder)):
        read_bytes(file, MAX_BYTES)  # lm-eval reads them all, whatever they are: it would wait for a pipe
    return folders


def load_lm_eval_tasks(name: str, manager: Any) -> tuple[dict[str, Any], Aggregate]:
    """lm-eval's task objects under `name`, by name, and how they are averaged.

    A group whose members are weighted by size is a mean over documents, any other a mean over members.
    """
    for member in sorted(resolve_names(manager, name)):
        entry = manager.task_index.get(member)  # none for a member that is written out within its group
        if entry and (entry.cfg or {}).get("unsafe_code"):  # before it is loaded: loading alone may run code
            raise runs_code_error(member)
    try:
        content = manager.load([name])
    except (Exception, SystemExit) as error:  # lm-eval and datasets raise many kinds: all mean that the task cannot be loaded
        raise SkilldeltaError(
            f"lm-eval's task {name!r} cannot be loaded: {type(error).__name__}: {error}\n"
            "Offline, point it at rows of your own: a YAML file with a `task` name of yours, `include:` of lm-eval's own file, "
            "`dataset_path: json` and `dataset_kwargs: {data_files: {test: ROWS.jsonl}}`, in a folder for --include-path."
        ) from error
    tasks: dict[str, Any] = content["tasks"]
    group = content["groups"].get(name)
    by_size = any(m.weight_by_size for m in (group.aggregate_metric_list or ())) if group else False
    return tasks, "mean" if by_size or len(tasks) == 1 else "macro"


def find_manager(name: str, folders: list[str]) -> Any:
    """lm-eval's TaskManager over the fewest files that hold `name` whole: the user's, one of lm-eval's folders, or all.

    An index of all 14,000 files takes seconds, so only tags and groups that reach across folders need one.
    """
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=folders, include_defaults=False) if folders else None
    own = None
    if manager is None or name not in manager.all_tasks:
        own = find_folder(task_root(), name, lm_eval_version())
        manager = TaskManager(include_path=[str(own), *folders], include_defaults=False) if own else None
    if manager is None or not is_complete(manager, name, own):
        manager = TaskManager(include_path=folders or None)
    return manager


def task_root() -> Path:
    """The folder of lm-eval's own task files."""
    import lm_eval.tasks

    return Path(lm_eval.tasks.__file__).parent


def is_complete(manager: Any, name: str, own: Path | None) -> bool:
    """Does the index hold everything below `name`?  Members of a group, and tasks with a tag, may lie in other folders."""
    names = resolve_names(manager, name)
    tags = names & set(manager.all_tags)
    return names <= set(manager.all_tasks) and not (own and tags and mentioning_folders(task_root(), tags) - {own})


class GroupTask:
    """Several lm-eval tasks as one."""

    def __init__(self, name: str, members: Mapping[str, MemberTask]) -> None:
        self.name, self.members = name, members
        self.places: dict[str, tuple[MemberTask, int]] = {}  # by Example.id: the member, and the document's index in it

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Every metric of every member, once."""
        return tuple({metric.name: metric for member in self.members.values() for metric in member.metrics}.values())

    def rows(self, folder: Path | None) -> Iterable[Json]:
        """The documents; `folder` has no effect, as lm-eval's tasks name their own data."""
        copies: dict[str, int] = {}
        rows = []
        for key, member in self.members.items():
            for index, doc in enumerate(member.docs):
                row = json_document(doc) | ({"lm_eval_task": key} if len(self.members) > 1 else {})
                identity = Example(row).id
                copy = copies.get(identity, 0)
                copies[identity] = copy + 1
                self.places[Example(row, copy).id] = member, index
                rows.append(row)
        return rows

    def ask(self, example: Example) -> Request:
        member, index = self.places[example.id]
        instances = member.instances(index)
        kind = instances[0].request_type
        build_request = REQUEST_BUILDERS.get(kind)
        if build_request is None or any(i.request_type != kind for i in instances):
            raise SkilldeltaError(
                f"{self.name} asks for {kind}, which is not bridged; bridged are: {', '.join(REQUEST_BUILDERS)}."
            )
        with foreign_errors(f"lm-eval's {member.name} asks in a way that cannot be bridged"):
            return build_request(instances)

    def score(self, example: Example, response: Response) -> Score:
        member, index = self.places[example.id]
        values = member.values(index, lm_eval_responses(member.instances(index)[0].request_type, response))
        value = values.get(member.headline)
        if value is None or values.get(f"{member.headline}:n") == 0:
            return Score(None, why=f"{member.headline} has no number for this document", parts=values)
        if not 0 <= value <= 1:
            raise SkilldeltaError(
                f"{member.headline}, the headline of lm-eval's {member.name}, is {value:g} for a document: it is on another "
                "scale than 0 to 1, so its mean is no score.\nPut a metric of 0 to 1 first: a YAML file of your own with a "
                "`task` name, `include:` of this one and a `metric_list`, in a folder for --include-path."
            )
        return Score(value, extracted=response.text.strip()[-200:], parts=values)


def json_document(doc: Mapping[str, Any]) -> dict[str, Any]:
    """A document as JSON values; SkilldeltaError where it holds something else (a picture, a sound)."""
    try:
        values: dict[str, Any] = json.loads(json.dumps(dict(doc), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise SkilldeltaError(f"A document of this lm-eval task is not text and numbers alone: {error}.") from error
    return values
