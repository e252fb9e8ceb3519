"""The nouns of the project: frozen data, and the one protocol that a model obeys.  Standard library only; read this first."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

SKILLS = ("factuality", "reasoning", "coding", "truthfulness", "safety", "instruction following")

Finish = Literal["stop", "length", "overlong", "error"]
Role = Literal["system", "user", "assistant"]
Json = Mapping[str, Any]


class SkilldeltaError(Exception):
    """Something the user can mend: says what was found, what there is, and the way out.  Exit code 3."""


def unknown_name(noun: str, name: str, names: Iterable[str]) -> SkilldeltaError:
    """The error for a name that is not one of `names`: says which are near, and all there are, or how many of more than 40."""
    near = difflib.get_close_matches(name, choices := sorted(names), n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    present = f" {len(choices)} in all" if near and len(choices) > 40 else f": {', '.join(choices) or 'none'}"
    return SkilldeltaError(f"There is no {noun} {name!r}.{hint} There are{present}.")


def digest(value: object, length: int = 16) -> str:
    """The first `length` hex digits of SHA-256 over the canonical JSON of `value` (sorted keys, no spaces, UTF-8)."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model somebody can load, or whose outputs somebody recorded."""

    name: str  # unique within a results folder, e.g. "dpo/checkpoint-200"
    path: str  # a folder, a Hub name, or "" where only outputs are known
    producer: str  # the plug-in of harness/checkpoints that found it, or "recorded"
    method: str = ""  # sft, reward, dpo, ppo ..., "" where nothing says
    run: str = ""  # the run folder it belongs to
    step: int | None = None
    base: str = ""  # for an adapter: the folder or Hub name of the whole model that it changes
    content: str = ""  # for recorded outputs: the hash of their files and of how they are read
    problem: str = ""  # why it cannot be scored; "" when it is ready
    adapters: tuple[str, ...] = ()  # for an adapter of adapters: their folders, in the order in which they change the base
    tokenizer: str = ""  # the folder of another tokenizer than its own


@dataclass(frozen=True)
class Example:
    """One row of a benchmark, untouched.  `copy` counts earlier rows with exactly the same content.

    `fewshot` are the rows (or prompt texts) shown before it: part of what is asked, not of what the example is.
    """

    row: Json
    copy: int = 0
    fewshot: tuple[Json, ...] = ()

    @cached_property
    def id(self) -> str:
        """The hash of the row's content: what two results are paired by, whatever their order."""
        return digest(self.row) + (f"-{self.copy + 1}" if self.copy else "")


class Message(NamedTuple):
    role: Role
    content: str


@dataclass(frozen=True)
class Request:
    """What a model is asked: to continue a prompt, or (with `choices`) to weigh each choice as its continuation.

    `prompt` is text for one user turn, or whole messages; the model puts it in its own chat template.  `prefix` begins the
    answer.  With `raw`, the prompt is already rendered: no template is applied.  `draw` numbers repeated samples of one
    prompt: what is drawn depends on (seed, prompt, draw) alone, never on the batch.
    """

    prompt: str | tuple[Message, ...]
    prefix: str = ""
    choices: tuple[str, ...] = ()
    contexts: tuple[str | tuple[Message, ...], ...] = ()  # where every choice has a prompt of its own: one each, text is raw
    rolling: bool = False  # the log-likelihood of the only choice as a whole text, in windows
    max_tokens: int = 512
    stop: tuple[str, ...] = ()
    temperature: float = 0.0  # 0: greedy
    top_p: float = 1.0
    seed: int = 0
    draw: int = 0
    thinking: int = 0  # further tokens for reasoning before the answer, which alone has `max_tokens`
    raw: bool = False
    truncate: bool = False  # an over-long prompt loses its left end, as in lm-eval; otherwise it is not asked ("overlong")
    chat: bool = False  # only a chat template may render it, and the prefix is the beginning of the last message
    generation: tuple[tuple[str, Any], ...] = ()  # further settings by transformers' names: a backend does them or refuses

    @cached_property
    def id(self) -> str:
        """The hash of everything that is asked."""
        content = asdict(self)
        content["cut"] = content.pop("truncate")  # the field's first name: a stored request keeps its hash
        for later_field in ("chat", "generation", "thinking"):
            if not content[later_field]:
                del content[later_field]
        return digest(content)


@dataclass(frozen=True)
class Response:
    """What a model said: a text, or one log-probability (natural, summed over tokens) for each choice."""

    text: str = ""
    finish: Finish = "stop"
    logprobs: tuple[float, ...] = ()
    greedy: tuple[bool, ...] = ()  # for each choice: would greedy decoding have produced it?
    tokens_in: int = 0
    tokens_out: int = 0
    truncated: int = 0  # prompt tokens lost on the left, where the request allowed it
    error: str = ""
    reasoning: str = ""  # what the server has parted from the text as reasoning
    in_block: bool = False  # the prompt has opened a block of reasoning: the text begins inside it


@dataclass(frozen=True)
class Score:
    """How good a response is, 0..1; None when it could not be scored, with the reason: kept and counted, never a zero."""

    value: float | None
    extracted: str = ""  # what the response was taken to say
    parts: Mapping[str, float] = field(default_factory=dict)  # further numbers, for the task's metrics
    why: str = ""  # why there is no value


@dataclass(frozen=True)
class Sample:
    """One line of a results file."""

    example: str  # Example.id
    request: str  # Request.id
    response: Response
    score: Score
    draw: int = 0
    group: str = ""  # stratum: subject, subtask
    cluster: str = ""  # samples of one cluster are not independent; "": the example is its own
    reading: Mapping[str, int] = field(default_factory=dict)  # of a text: what prompts/reading.py saw of its reasoning

    @property
    def key(self) -> tuple[str, int]:
        """What tells it from the other samples of its cell; of equal keys the last one counts."""
        return self.example, self.draw


Aggregate = Literal["mean", "macro", "f1"]


@dataclass(frozen=True)
class Metric:
    """A further number of a task: the sum of part `part` over the sum of part `over` (or over the number of samples).

    Above `warn_above` or below `warn_below` (0..1), a comparison says "12.3 % " and then `warning`.
    """

    name: str
    part: str
    over: str = ""
    group: str = ""  # only samples of this group
    lower_is_better: bool = False
    warn_above: float = 1.0
    warn_below: float = 0.0
    warning: str = ""


@runtime_checkable
class Judge(Protocol):
    """Grades what no rule can: a classifier, a reward model, a language model, or what one of them recorded."""

    def grade(self, prompt: str, response: str, reference: str) -> float | None:
        """How good `response` is, 0..1; with a `reference`: the probability that it is the better one.  None: no verdict."""
        ...


@dataclass(frozen=True)
class SandboxOptions:
    """How to run programs that a model wrote.  All tasks of a process with equal options share one sandbox."""

    tier: str = ""  # namespaces, landlock, docker, podman, or none: unconfined; "": SKILLDELTA_SANDBOX, else the strongest here
    limits: str = ""  # "cpu_s=10,memory_mb=2048", or "paper"; "": SKILLDELTA_SANDBOX_LIMITS, else the usual limits


@dataclass(frozen=True)
class Task:
    """A benchmark as a value.  It knows no model and no chat template.

    `rows` and `fewshot` take the folder with local data, or None for the Hub.  `fewshot` gives exemplars by group ("" for all).
    `aggregate`: mean over samples; macro = unweighted mean of the groups' means; f1 = F1 of the group `positive`,
    where a score of 1 is a right decision.  `chance` is the score of blind guessing.  `version` goes up with each change
    that can move a score.
    """

    name: str
    skill: str
    version: int
    source: str  # where prompts, extraction and metric come from
    rows: Callable[[Path | None], Iterable[Json]]
    ask: Callable[[Example], Request]
    score: Callable[[Example, Response], Score]
    ideal: Callable[[Example], Response]  # a response that scores 1
    chance: float = 0.0
    fewshot: Callable[[Path | None], Mapping[str, Sequence[Json]]] | None = None
    group: Callable[[Example], str] | None = None
    cluster: Callable[[Example], str] | None = None
    aggregate: Aggregate = "mean"
    positive: str = ""
    metrics: tuple[Metric, ...] = ()
    draws: int = 1
    pass_at: int = 0  # k: the score of an example is pass@k over its draws; 0: draws are averaged
    criterion: str = ""  # what its judge decides, by which its measured errors are found; "not ...": the opposite scores 1
    judge: str = ""  # PLUGIN:WHERE, what grades responses that no rule can, unless the user names another
    judged: Callable[[Any, Example, Response], Score] | None = None  # score() with a Judge; score() alone gives None then
    grade_ahead: Callable[[Sequence[tuple[Example, Response]]], None] | None = None  # has a judge grade many responses
    report: Callable[[], Json] | None = None  # what a judge's work took since the last report: kept with the results
    prepare: Callable[[], object] | None = None  # fails where score() cannot work at all, before a model is asked
    summary: str = ""  # one line for `skilldelta list tasks`
    scores_silence: bool = False  # score() has its own rule for an empty response; otherwise that is no answer, and unscored
    concurrent: bool = False  # score() waits for other processes: it is called from several threads
    execute: Callable[[SandboxOptions, Example, Response], Score] | None = None  # score() with options; score() alone: defaults
    training_rows: Callable[[Path | None], Iterable[Json]] | None = None  # no rows of the test: for `--reward task:NAME`
    conditions: Callable[[SandboxOptions], Json] | None = None  # what else scores rest on (a sandbox): kept with the results


@runtime_checkable
class Model(Protocol):
    """A backend: answers requests, each as it finishes, with its place in the list.

    The same list of requests gives the same responses, byte for byte; `block` is how many are best given at once.  A backend
    file defines `load(checkpoint, options) -> Model`; the annotation of `options` is the frozen dataclass of its settings.  A
    Model may also have the methods of SupportsAlign and of evaluation/model_reports.py; nothing else is used.
    """

    block: int
    settings: Json  # what can move an answer: backend, versions, template, dtype, ...

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]: ...
