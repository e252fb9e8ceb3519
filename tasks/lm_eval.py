"""The bridge to lm-eval's tasks: `lm-eval:NAME` is any of them, with its own prompts, exemplars, filters and metrics.

What is asked is what lm-eval itself would ask, byte for byte: its few-shot seed, its order, its left cut of long prompts.
A group is one task here, its members the groups of its examples.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.registry import LM_EVAL, unknown
from harness.types import Aggregate, Example, Metric, Request, Response, Rows, Score, SkilldeltaError, Task

SEED = 1234  # lm-eval's --seed for exemplars
MOST_TOKENS = 256  # what lm-eval's hf backend generates where a task does not say
NAMED = re.compile(rb"^(?:task|group|tag): *[\"']?([\w.:+\-]+)[\"']? *\r?$", re.MULTILINE)
TAGGED = re.compile(rb"^tag: *\r?\n((?: *- .*\r?\n?)+)", re.MULTILINE)
SKILLS = {
    "mmlu": "factuality",
    "gsm8k": "reasoning",
    "bbh": "reasoning",
    "truthfulqa": "truthfulness",
    "toxigen": "safety",
    "ifeval": "instruction following",
    "humaneval": "coding",
    "mbpp": "coding",
}


def bridge(name: str, include: tuple[Path, ...] = (), num_fewshot: int | None = None) -> Task:
    """The lm-eval task or group `name`, from the folders in `include` or from lm-eval itself."""
    members, aggregate = load(name, include)
    for member in members.values():
        member.set_fewshot_seed(seed=SEED)
        if num_fewshot is not None:
            member.set_config(key="num_fewshot", value=num_fewshot)
    bridged = Bridged(name, {key: Member(member) for key, member in members.items()})
    first = next(iter(bridged.members.values()))
    return Task(
        name=f"{LM_EVAL}{name}",
        skill=next((skill for start, skill in SKILLS.items() if name.startswith(start)), "other"),
        version=1,
        source=f"lm-eval {version()}, {name}, version {first.version}"
        + (f", {num_fewshot} exemplars" if num_fewshot is not None else ""),
        rows=bridged.rows,
        ask=bridged.ask,
        score=bridged.score,
        ideal=ideal,
        group=(lambda e: str(e.row["lm_eval_task"])) if len(members) > 1 else None,
        aggregate=aggregate,
        metrics=tuple(Metric(key, key) for key in first.keys),
        summary=f"lm-eval's {name}; headline {first.headline}",
    )


def version() -> str:
    from importlib.metadata import version as installed

    return installed("lm_eval")


def ideal(example: Example) -> Response:
    raise SkilldeltaError("An lm-eval task does not say what a perfect response is.")


def load(name: str, include: tuple[Path, ...]) -> tuple[dict[str, Any], Aggregate]:
    """lm-eval's task objects under `name`, by name, and how they are averaged.

    Only the folder that holds the task is indexed, never all 14,000 files.  A group whose members are weighted by size is a
    mean over documents, any other a mean over members.
    """
    from lm_eval.tasks import TaskManager

    folders = [str(path) for path in include if path.is_dir() and any(path.rglob("*.yaml"))]
    manager = TaskManager(include_path=folders, include_defaults=False) if folders else None
    if manager is None or name not in manager.all_tasks:
        manager = TaskManager(include_path=[*folder_of(name), *folders], include_defaults=False)
    try:
        found = manager.load([name])
    except Exception as error:  # lm-eval and datasets raise many kinds: all mean that the task cannot be made ready
        raise SkilldeltaError(f"lm-eval's task {name!r} cannot be loaded: {type(error).__name__}: {error}") from error
    tasks: dict[str, Any] = found["tasks"]
    group = found["groups"].get(name)
    weighted = any(m.weight_by_size for m in (group.aggregate_metric_list or ())) if group else False
    return tasks, "mean" if weighted or len(tasks) == 1 else "macro"


def folder_of(name: str) -> list[str]:
    """The folder of lm-eval's own task files that names `name` as a task, a group or a tag; an error with near matches."""
    import lm_eval.tasks

    root = Path(lm_eval.tasks.__file__).parent
    known: set[str] = set()
    for file, names in named(root):
        if name in names:
            return [str(root / file.relative_to(root).parts[0])]
        known |= names
    error = unknown("lm-eval task", name, [n for n in known if n[:2] == name[:2]])
    raise SkilldeltaError(str(error))


def named(root: Path) -> Iterator[tuple[Path, set[str]]]:
    """Every YAML file below `root` with the names that it gives; files that sit where `name` would be looked for first."""
    for file in sorted(root.rglob("*.yaml")):
        content = file.read_bytes()
        found = {n.decode() for n in NAMED.findall(content)}
        for lines in TAGGED.findall(content):
            found |= {line.strip(b"- \r\"'").decode() for line in lines.split(b"\n") if line.strip()}
        yield file, found


class Member:
    """One lm-eval task: its documents, what it asks about each, and how it scores."""

    def __init__(self, task: Any) -> None:
        self.task = task
        self.built: list[list[Any]] = []  # the instances of each document so far
        if int(task.config.repeats or 1) != 1:
            raise SkilldeltaError(f"lm-eval's {self.name} asks each prompt several times (repeats), which is not bridged.")

    @property
    def name(self) -> str:
        return str(self.task.config.task)

    @property
    def version(self) -> str:
        return str(self.task.VERSION)

    @cached_property
    def docs(self) -> list[Any]:
        return list(self.task.eval_docs)

    @cached_property
    def filters(self) -> list[str]:
        return [f.name for f in getattr(self.task, "_filters", [])] or ["none"]

    @cached_property
    def means(self) -> list[str]:
        """The metrics that are means over documents."""
        from lm_eval.api.metrics import mean

        # A task may aggregate by a function of its own that is a mean under another name.
        found = [m for m, how in self.task.aggregation().items() if how is mean or getattr(how, "__name__", "") in MEANS]
        if not found:
            metrics = ", ".join(self.task.aggregation())
            raise SkilldeltaError(f"lm-eval's {self.name} has no metric that is a mean over documents (it has: {metrics}).")
        return found

    @cached_property
    def headline(self) -> str:
        return f"{self.means[0]},{self.filters[0]}"

    @cached_property
    def keys(self) -> list[str]:
        return [f"{metric},{name}" for name in self.filters for metric in self.means]

    def instances(self, index: int) -> list[Any]:
        """What lm-eval asks about a document.  Built in order: exemplars may be drawn from one stream for all documents."""
        while len(self.built) <= index:
            doc = self.docs[len(self.built)]
            context = self.task.fewshot_context(
                doc,
                num_fewshot=self.task.config.num_fewshot or 0,
                system_instruction=None,
                apply_chat_template=False,
                fewshot_as_multiturn=False,
                chat_template=None,
                gen_prefix=self.task.doc_to_prefix(doc),
            )
            made = self.task.construct_requests(
                doc=doc, ctx=context, metadata=(self.name, len(self.built), 1), apply_chat_template=False, chat_template=None
            )
            self.built.append(made if isinstance(made, list) else [made])
        return self.built[index]

    def values(self, index: int, responses: Sequence[Any]) -> dict[str, float]:
        """Every mean metric under every filter, through lm-eval's own filters and process_results."""
        found: dict[str, float] = {}
        instances = self.instances(index)
        for instance, response in zip(instances, responses, strict=True):
            instance.resps, instance.filtered_resps = [response], {}
        for one in self.task._filters:
            one.apply(instances)
        for name in self.filters:
            results = self.task.process_results(self.docs[index], [i.filtered_resps.get(name, i.resps[0]) for i in instances])
            found |= {f"{m},{name}": float(results[m]) for m in self.means if m in results}
        return found


MEANS = ("mean", "nanmean", "agg_inst_level_acc")


class Bridged:
    """Several lm-eval tasks as one."""

    def __init__(self, name: str, members: Mapping[str, Member]) -> None:
        self.name, self.members = name, members
        self.places: dict[str, tuple[Member, int]] = {}

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
        if not 0 <= value <= 1:
            return Score(None, why=f"{member.headline} is {value}: not a score of 0 to 1", parts=values)
        return Score(value, read_as=response.text.strip()[-200:], parts=values)


def plain(doc: Mapping[str, Any]) -> dict[str, Any]:
    """A document as JSON values; what is none (a picture, a sound) is refused."""
    import json

    try:
        found: dict[str, Any] = json.loads(json.dumps(dict(doc), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise SkilldeltaError(f"A document of this lm-eval task is not text and numbers alone: {error}.") from error
    return found


def answers(kind: str, response: Response) -> list[Any]:
    """A response as what lm-eval's backends give for each instance."""
    if kind == "generate_until":
        return [response.text]
    if kind == "loglikelihood_rolling":
        return list(response.logprobs)
    return list(zip(response.logprobs, response.greedy, strict=True))


def weigh(instances: Sequence[Any]) -> Request:
    contexts = tuple(i.args[0] for i in instances)
    choices = tuple(i.args[1] for i in instances)
    if len(set(contexts)) == 1:
        return Request(contexts[0], choices=choices, raw=True, cut=True)
    return Request("", choices=choices, contexts=contexts, raw=True, cut=True)


def roll(instances: Sequence[Any]) -> Request:
    return Request("", choices=(instances[0].args[0],), rolling=True, raw=True, cut=True)


def write(instances: Sequence[Any]) -> Request:
    context, settings = instances[0].args
    until = settings.get("until") or []
    drawn = settings.get("do_sample", float(settings.get("temperature", 0.0)) > 0)
    return Request(
        context,
        max_tokens=int(settings.get("max_gen_toks", MOST_TOKENS)),
        stop=(until,) if isinstance(until, str) else tuple(until),
        temperature=float(settings.get("temperature", 1.0)) if drawn else 0.0,
        top_p=float(settings.get("top_p", 1.0)),
        raw=True,
        cut=True,
    )


ASK: dict[str, Callable[[Sequence[Any]], Request]] = {
    "loglikelihood": weigh,
    "multiple_choice": weigh,
    "loglikelihood_rolling": roll,
    "generate_until": write,
}
