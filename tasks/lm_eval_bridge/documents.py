"""The documents of an lm-eval task: its requests about each document, and its scores of the responses."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np

from harness.interchange.benchmarks import OTHER_SCALES
from harness.registry import PromptSettings
from harness.types import Metric, Response, SkilldeltaError
from tasks.lm_eval_bridge.requests import capture_chat

SEED = 1234  # lm-eval's --seed for exemplars and for numpy; that of Python's own generator is 0
# Filters that read each sample of a prompt by itself.
EACH_SAMPLE = {"regex", "regex_pos", "multi_choice_regex", "remove_whitespace", "lowercase", "uppercase", "map", "take_first"}
MEANS = ("mean", "nanmean", "agg_inst_level_acc")
SPARSE_MEANS = ("nanmean", "agg_inst_level_acc")  # over the values that exist: a document may have none, or several


class RandomState:
    """Python's and numpy's global generators as lm-eval seeds them, for as long as its code runs; then as they were.

    Some tasks shuffle choices with them while they load: otherwise two runs would ask different questions.
    """

    def __init__(self) -> None:
        self.own: tuple[Any, Any] = random.Random(0).getstate(), np.random.RandomState(SEED).get_state()
        self.outside = self.own

    def __enter__(self) -> None:
        self.outside = random.getstate(), np.random.get_state()
        self.set(self.own)

    def __exit__(self, *_: object) -> None:
        self.own = random.getstate(), np.random.get_state()
        self.set(self.outside)

    @staticmethod
    def set(states: tuple[Any, Any]) -> None:
        random.setstate(states[0])
        np.random.set_state(states[1])


def runs_code_error(name: str) -> SkilldeltaError:
    return SkilldeltaError(
        f"lm-eval's {name} runs code that a model wrote in this very process, so it is not bridged: "
        "`skilldelta list tasks` names the coding tasks, which run in a sandbox."
    )


@contextmanager
def foreign_errors(doing: str) -> Iterator[None]:
    """Whatever lm-eval's code, or that of a task file, raises inside the `with` becomes a SkilldeltaError with its reason."""
    try:
        yield
    except SkilldeltaError:
        raise
    except (Exception, SystemExit) as error:  # of any kind: the code is somebody else's
        raise SkilldeltaError(f"{doing}: {type(error).__name__}: {error}") from error


def first_sample_counts(filter_list: Any) -> bool:
    """Whether every filter takes the first of several samples of a prompt, before anything looks at all of them."""
    for pipeline in filter_list or ():
        functions = [step.get("function") for step in pipeline.get("filter") or ()]
        before = functions[: functions.index("take_first")] if "take_first" in functions else ["missing"]
        if not set(before) <= EACH_SAMPLE:
            return False
    return True


class MemberTask:
    """One lm-eval task: its documents, its requests about each, and its scores."""

    def __init__(self, task: Any, random_state: RandomState, prompts: PromptSettings = PromptSettings()) -> None:
        self.task, self.random_state, self.prompts = task, random_state, prompts
        self.instance_lists: list[list[Any]] = []  # of each document so far
        self.repeats = int(task.config.repeats or 1)
        if self.repeats != 1 and not first_sample_counts(task.config.filter_list):
            raise SkilldeltaError(
                f"lm-eval's {self.name} scores {self.repeats} samples of each prompt together (repeats), which is not "
                "bridged: a sample has a score of its own here.\nWrite a task that includes it with `repeats: 1` and a "
                "filter_list of its own, and draw several samples with --draws."
            )
        if getattr(task, "UNSAFE_CODE", False):
            raise runs_code_error(self.name)
        if getattr(task, "MULTIMODAL", False):
            raise SkilldeltaError(f"lm-eval's {self.name} shows pictures or sounds, which is not bridged: text alone is.")

    @property
    def name(self) -> str:
        return str(self.task.config.task)

    @property
    def version(self) -> str:
        return str(self.task.VERSION)

    @cached_property
    def docs(self) -> list[Any]:
        with self.random_state, foreign_errors(f"lm-eval's {self.name} cannot give its documents"):
            return list(self.task.eval_docs)

    @cached_property
    def filters(self) -> list[str]:
        return [f.name for f in getattr(self.task, "_filters", [])] or ["none"]

    @cached_property
    def means(self) -> dict[str, str]:
        """The metrics that are means, with the name of lm-eval's function that takes the mean."""
        names = {metric: getattr(how, "__name__", "") for metric, how in self.task.aggregation().items()}
        return {metric: name for metric, name in names.items() if name in MEANS}

    @cached_property
    def headline(self) -> str:
        """The first metric that can be a score."""
        better = self.task.higher_is_better()
        for metric, how in self.means.items():
            if how != "agg_inst_level_acc" and better.get(metric) is not False and not OTHER_SCALES.search(metric):
                return f"{metric},{self.filters[0]}"
        metrics = ", ".join(
            f"{metric} ({getattr(how, '__name__', 'its own')}{'' if better.get(metric) is not False else ', lower is better'})"
            for metric, how in self.task.aggregation().items()
        )
        raise SkilldeltaError(
            f"lm-eval's {self.name} has no metric that is the mean of scores between 0 and 1, the higher the better, "
            f"so that two checkpoints cannot be compared on it document by document.  It has: {metrics or 'none'}."
        )

    @cached_property
    def metrics(self) -> list[Metric]:
        """Every mean under every filter."""
        better = self.task.higher_is_better()
        keys = [(metric, f"{metric},{name}") for name in self.filters for metric in self.means]
        return [
            Metric(
                key,
                key,
                over=f"{key}:n" if self.means[metric] in SPARSE_MEANS else "",
                lower_is_better=better.get(metric) is False,
            )
            for metric, key in keys
        ]

    def instances(self, index: int) -> list[Any]:
        """lm-eval's requests about a document, built in order: all documents may draw exemplars from one random stream."""
        docs = self.docs
        with self.random_state:
            while len(self.instance_lists) <= index:
                place = len(self.instance_lists)
                with foreign_errors(f"lm-eval's {self.name} cannot build the prompt of document {place}"):
                    self.instance_lists.append(self.build_instances(docs[place]))
        return self.instance_lists[index]

    def build_instances(self, doc: Any) -> list[Any]:
        chat = self.prompts.chat
        chat_template = capture_chat if chat else None
        context = self.task.fewshot_context(
            doc,
            num_fewshot=self.task.config.num_fewshot or 0,
            system_instruction=self.prompts.system or None,
            apply_chat_template=chat,
            fewshot_as_multiturn=chat if self.prompts.multiturn is None else self.prompts.multiturn,
            chat_template=chat_template,
            gen_prefix=self.task.doc_to_prefix(doc),
        )
        instances = self.task.construct_requests(
            doc=doc,
            ctx=context,
            metadata=(self.name, len(self.instance_lists), 1),
            apply_chat_template=chat,
            chat_template=chat_template,
        )
        return instances if isinstance(instances, list) else [instances]

    def values(self, index: int, responses: Sequence[Any]) -> dict[str, float]:
        """Every mean metric under every filter, through lm-eval's own filters and process_results."""
        values: dict[str, float] = {}
        instances = self.instances(index)
        for instance, response in zip(instances, responses, strict=True):
            instance.resps, instance.filtered_resps = [response], {}
        for each in self.task._filters:
            each.apply(instances)
        for name in self.filters:
            results = self.task.process_results(self.docs[index], [i.filtered_resps.get(name, i.resps[0]) for i in instances])
            for metric, how in self.means.items():
                if metric in results:
                    values |= mean_parts(f"{metric},{name}", results[metric], how in SPARSE_MEANS)
        return values


def mean_parts(key: str, value: Any, sparse: bool) -> dict[str, float]:
    """A document's part in a mean: its value; or, where a document has any number of values, their sum and their number.

    NaN has no part.  SkilldeltaError for an infinite value.
    """
    if not sparse:
        number = float(value)
        if math.isinf(number):
            raise SkilldeltaError(f"{key} is {number} for a document: a mean over it would be no number.")
        return {} if math.isnan(number) else {key: number}
    numbers = [float(v) for v in (value if isinstance(value, (list, tuple)) else [value]) if not math.isnan(float(v))]
    return {key: sum(numbers), f"{key}:n": float(len(numbers))}


def lm_eval_responses(kind: str, response: Response) -> list[Any]:
    """A response in the form that lm-eval's backends return for each instance."""
    if kind == "generate_until":
        return [response.text]
    if kind == "loglikelihood_rolling":
        return list(response.logprobs)
    return list(zip(response.logprobs, response.greedy, strict=True))
