"""The documents of an lm-eval task: its requests about each document, and its scores of the responses."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from harness.interchange.benchmarks import OTHER_SCALES
from harness.types import Metric, Request, Response, SkilldeltaError

SEED = 1234  # lm-eval's --seed for exemplars and for numpy; that of Python's own generator is 0
DEFAULT_MAX_TOKENS = 256  # what lm-eval's hf backend generates where a task does not say
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


class MemberTask:
    """One lm-eval task: its documents, its requests about each, and its scores."""

    def __init__(self, task: Any, random_state: RandomState) -> None:
        self.task, self.random_state = task, random_state
        self.instance_lists: list[list[Any]] = []  # of each document so far
        if int(task.config.repeats or 1) != 1:
            raise SkilldeltaError(
                f"lm-eval's {self.name} scores {task.config.repeats} samples of each prompt together (repeats), which is not "
                "bridged: a sample has a score of its own here.  Other tasks take --draws."
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
        with self.random_state:
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
                self.instance_lists.append(self.build_instances(docs[len(self.instance_lists)]))
        return self.instance_lists[index]

    def build_instances(self, doc: Any) -> list[Any]:
        context = self.task.fewshot_context(
            doc,
            num_fewshot=self.task.config.num_fewshot or 0,
            system_instruction=None,
            apply_chat_template=False,
            fewshot_as_multiturn=False,
            chat_template=None,
            gen_prefix=self.task.doc_to_prefix(doc),
        )
        instances = self.task.construct_requests(
            doc=doc,
            ctx=context,
            metadata=(self.name, len(self.instance_lists), 1),
            apply_chat_template=False,
            chat_template=None,
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
    """A document's part in a mean: its value; or, where a document has any number of values, their sum and their number."""
    if not sparse:
        return {key: float(value)}
    numbers = [float(v) for v in (value if isinstance(value, (list, tuple)) else [value]) if not math.isnan(float(v))]
    return {key: sum(numbers), f"{key}:n": float(len(numbers))}


def lm_eval_responses(kind: str, response: Response) -> list[Any]:
    """A response in the form that lm-eval's backends return for each instance."""
    if kind == "generate_until":
        return [response.text]
    if kind == "loglikelihood_rolling":
        return list(response.logprobs)
    return list(zip(response.logprobs, response.greedy, strict=True))


def loglikelihood_request(instances: Sequence[Any]) -> Request:
    contexts = tuple(i.args[0] for i in instances)
    choices = tuple(i.args[1] for i in instances)
    if len(set(contexts)) == 1:
        return Request(contexts[0], choices=choices, raw=True, truncate=True)
    return Request("", choices=choices, contexts=contexts, raw=True, truncate=True)


def rolling_request(instances: Sequence[Any]) -> Request:
    return Request("", choices=(instances[0].args[0],), rolling=True, raw=True, truncate=True)


def generate_request(instances: Sequence[Any]) -> Request:
    context, settings = instances[0].args
    until = settings.get("until") or []
    samples = settings.get("do_sample", float(settings.get("temperature", 0.0)) > 0)
    return Request(
        context,
        max_tokens=int(settings.get("max_gen_toks", DEFAULT_MAX_TOKENS)),
        stop=(until,) if isinstance(until, str) else tuple(until),
        temperature=float(settings.get("temperature", 1.0)) if samples else 0.0,
        top_p=float(settings.get("top_p", 1.0)),
        raw=True,
        truncate=True,
    )


REQUEST_BUILDERS: dict[str, Callable[[Sequence[Any]], Request]] = {
    "loglikelihood": loglikelihood_request,
    "multiple_choice": loglikelihood_request,
    "loglikelihood_rolling": rolling_request,
    "generate_until": generate_request,
}
