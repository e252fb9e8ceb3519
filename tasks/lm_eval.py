"""The bridge to lm-eval's tasks: `lm-eval:NAME` is any of them, with its own prompts, exemplars, filters and metrics.

What is asked is what lm-eval itself would ask, byte for byte: its seeds, its order, its left cut of long prompts.
A group is one task here, its members the groups of its examples.  The score is the first metric of the first filter that is a
mean of values in 0..1 and better when higher; every other mean is a metric beside it, never mixed into it.  Figures that
are no means over documents (corpus BLEU, F1 over a corpus, perplexity) have no place in paired samples and are
left out.  A metric beside the score is a mean over all documents, also where the score is a mean over members.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.interchange import names
from harness.registry import LM_EVAL
from harness.types import Aggregate, Example, Metric, Request, Response, Rows, Score, SkilldeltaError, Task
from tasks.lm_eval_documents import ASK, SEED, Chance, Member, answers, runs_code

TEXT = {".py", ".pyc", ".md", ".json", ".jsonl", ".csv", ".tsv", ".txt", ".jpg", ".png"}  # files that name no task
NAMED = re.compile(rb"^[\"']?(?:task|group|tag)[\"']?: *[\"']?([^\s\"'#\[\]][^\r\n\"'#]*?)[\"']? *\r?$", re.MULTILINE)


def bridge(name: str, include: tuple[Path, ...] = (), num_fewshot: int | None = None) -> Task:
    """The lm-eval task or group `name`, from the folders in `include` or from lm-eval itself."""
    chance = Chance()
    with chance:
        tasks, aggregate = load(name, include)
    shots(name, tasks.values(), num_fewshot)
    bridged = Bridged(name, {key: Member(task, chance) for key, task in tasks.items()})
    first = next(iter(bridged.members.values()))
    return Task(
        name=f"{LM_EVAL}{name}",
        skill=names.skill(name) or "other",
        version=1,
        source=f"lm-eval {version()}, {name}, version {first.version}"
        + (f", {num_fewshot} exemplars" if num_fewshot is not None else ""),
        rows=bridged.rows,
        ask=bridged.ask,
        score=bridged.score,
        ideal=ideal,
        group=(lambda e: str(e.row["lm_eval_task"])) if len(tasks) > 1 else None,
        aggregate=aggregate,
        metrics=bridged.metrics,
        summary=f"lm-eval's {name}; headline {first.headline}",
    )


def version() -> str:
    from importlib.metadata import version as installed

    return installed("lm_eval")


def ideal(example: Example) -> Response:
    raise SkilldeltaError("An lm-eval task does not say what a perfect response is.")


def shots(name: str, tasks: Iterable[Any], number: int | None) -> None:
    """Seeds the choice of exemplars and sets their number.  A task whose file says 0 keeps 0, as in lm-eval."""
    found = list(tasks)
    if number is not None and all(task.config.num_fewshot == 0 for task in found) and number:
        raise SkilldeltaError(f"lm-eval's {name} is zero-shot by its own file: leave --num-fewshot out.")
    for task in found:
        task.set_fewshot_seed(seed=SEED)
        if number is not None and task.config.num_fewshot != 0:
            task.set_config(key="num_fewshot", value=number)


def load(name: str, include: tuple[Path, ...]) -> tuple[dict[str, Any], Aggregate]:
    """lm-eval's task objects under `name`, by name, and how they are averaged.

    Only the folder that holds the task is indexed, never all 14,000 files, but for tags and groups that reach across folders.
    A group whose members are weighted by size is a mean over documents, any other a mean over members.
    """
    from lm_eval.tasks import TaskManager

    folders = [str(path) for path in include if path.is_dir() and any(path.rglob("*.yaml"))]
    manager = TaskManager(include_path=folders, include_defaults=False) if folders else None
    own = None
    if manager is None or name not in manager.all_tasks:
        own = folder_of(name)
        manager = TaskManager(include_path=[str(own), *folders], include_defaults=False) if own else None
    if manager is None or not whole(manager, name, own):
        manager = TaskManager(include_path=folders or None)
    for one in sorted(reach(manager, name)):
        entry = manager.task_index.get(one)  # none for a member that is written out within its group
        if entry and (entry.cfg or {}).get("unsafe_code"):  # before it is loaded: that alone may run code
            raise runs_code(one)
    try:
        found = manager.load([name])
    except Exception as error:  # lm-eval and datasets raise many kinds: all mean that the task cannot be made ready
        raise SkilldeltaError(
            f"lm-eval's task {name!r} cannot be loaded: {type(error).__name__}: {error}\n"
            "Offline, point it at rows of your own: a YAML file with a `task` name of yours, `include:` of lm-eval's own file, "
            "`dataset_path: json` and `dataset_kwargs: {data_files: {test: ROWS.jsonl}}`, in a folder for --include-path."
        ) from error
    tasks: dict[str, Any] = found["tasks"]
    group = found["groups"].get(name)
    weighted = any(m.weight_by_size for m in (group.aggregate_metric_list or ())) if group else False
    return tasks, "mean" if weighted or len(tasks) == 1 else "macro"


def whole(manager: Any, name: str, own: Path | None) -> bool:
    """Does the index hold all that `name` stands for?  A group may name members elsewhere; a tag may be given elsewhere."""
    names = reach(manager, name)
    tags = names & set(manager.all_tags)
    return names <= set(manager.all_tasks) and not (own and tags and mentions(tags) - {own})


def reach(manager: Any, name: str) -> set[str]:
    """`name`, and everything that it stands for, at any depth."""
    found: set[str] = set()
    left = [name]
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            entry = manager.task_index.get(one)
            left += listed((entry.cfg or {}).get("task")) if entry else ()
            left += entry.tags if entry and entry.kind.name == "TAG" else ()
    return found


def listed(told: Any) -> Iterator[str]:
    """The names that a group gives as its members: as text, with settings of their own, or in groups within the group."""
    for one in told if isinstance(told, list) else []:
        inner = one.get("task") if isinstance(one, dict) else one
        yield from [inner] if isinstance(inner, str) else listed(inner)


def mentions(names: Iterable[str]) -> set[Path]:
    """The folders of lm-eval's own task files in which one of `names` stands as a word."""
    word = re.compile(rb"(?<![\w-])(?:%b)(?![\w-])" % b"|".join(re.escape(n.encode()) for n in sorted(names)))
    return {folder for folder, _, content in sources() if word.search(content)}


def folder_of(name: str) -> Path | None:
    """The folder of lm-eval's own task files that names `name` as a task or a group, or the only one that mentions it.

    None where several mention it (a tag given in templates): only the whole index tells.  An error with near matches where
    none does.
    """
    known: set[str] = set()
    for folder, file, content in sources():
        names = {n.decode() for n in NAMED.findall(content)}
        if name in names and file.suffix == ".yaml":
            return folder
        known |= names
    if found := mentions([name]):
        return found.pop() if len(found) == 1 else None
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.6)
    hint = f"  Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise SkilldeltaError(
        f"lm-eval {version()} has no task, group or tag {name!r}.{hint}\n"
        f"It has {len(known)}: `lm-eval ls tasks` lists them; tasks of your own come from a folder named with --include-path."
    )


def sources() -> Iterator[tuple[Path, Path, bytes]]:
    """Every file of lm-eval's that may name a task: its folder below the root of them all, its path, its content."""
    import lm_eval.tasks

    root = Path(lm_eval.tasks.__file__).parent
    for file in sorted(root.rglob("*")):
        if file.suffix not in TEXT and file.is_file():
            yield root / file.relative_to(root).parts[0], file, file.read_bytes()


class Bridged:
    """Several lm-eval tasks as one."""

    def __init__(self, name: str, members: Mapping[str, Member]) -> None:
        self.name, self.members = name, members
        self.places: dict[str, tuple[Member, int]] = {}

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Every metric of every member, once."""
        return tuple({metric.name: metric for member in self.members.values() for metric in member.metrics}.values())

    def rows(self, folder: Path | None) -> Rows:
        """The documents; `folder` is of no use to lm-eval, whose tasks name their own data."""
        copies: dict[str, int] = {}
        found = []
        for key, member in self.members.items():
            for index, doc in enumerate(member.docs):
                row = plain(doc) | ({"lm_eval_task": key} if len(self.members) > 1 else {})
                identity = Example(row).id
                copy = copies.get(identity, 0)
                copies[identity] = copy + 1
                self.places[Example(row, copy).id] = member, index
                found.append(row)
        return found

    def ask(self, example: Example) -> Request:
        member, index = self.places[example.id]
        instances = member.instances(index)
        kind = instances[0].request_type
        ask = ASK.get(kind)
        if ask is None or any(i.request_type != kind for i in instances):
            raise SkilldeltaError(f"{self.name} asks for {kind}, which is not bridged; bridged are: {', '.join(ASK)}.")
        return ask(instances)

    def score(self, example: Example, response: Response) -> Score:
        member, index = self.places[example.id]
        values = member.values(index, answers(member.instances(index)[0].request_type, response))
        value = values[member.headline]
        if values.get(f"{member.headline}:n") == 0:
            return Score(None, why=f"{member.headline} does not apply to this document", parts=values)
        if not 0 <= value <= 1:
            return Score(None, why=f"{member.headline} is {value}: not a score of 0 to 1", parts=values)
        return Score(value, extracted=response.text.strip()[-200:], parts=values)


def plain(doc: Mapping[str, Any]) -> dict[str, Any]:
    """A document as JSON values; what is none (a picture, a sound) is refused."""
    try:
        found: dict[str, Any] = json.loads(json.dumps(dict(doc), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise SkilldeltaError(f"A document of this lm-eval task is not text and numbers alone: {error}.") from error
    return found
