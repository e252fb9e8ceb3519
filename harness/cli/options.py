"""Options that several verbs share: declared once, so that a flag means the same everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.option_groups import with_option_groups as with_option_groups
from harness.name_value_pairs import split_names
from harness.types import SandboxOptions, SkilldeltaError, Task

if TYPE_CHECKING:
    from harness.api import Backend
    from harness.data import ExampleSelection
    from harness.evaluation.questions import EvaluationSettings

# Headings of `score --help`, which has too many options for one list.
MODEL, SANDBOX, REPEATS = "Model and generation", "Programs that a model wrote", "Two checkpoints in turn, and repeats"

CHECKPOINTS_HELP = "Folders of checkpoints or training runs, or names on the Hub."
Checkpoints = Annotated[list[str], typer.Argument(help=CHECKPOINTS_HELP)]
ResultsFolder = Annotated[Path, typer.Argument(help="A results folder.")]
ResultsFolders = Annotated[list[Path], typer.Argument(help="Results folders.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="The results folder.")]
Baseline = Annotated[str, typer.Option("--baseline", help="The checkpoint that the others are compared with.")]
Candidates = Annotated[list[str] | None, typer.Option("--candidate", help="Compare only this checkpoint; may be repeated.")]
Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", help="Compare although this setting differs between the results; may be repeated."),
]
Margin = Annotated[float, typer.Option("--margin", help="Points: a difference shown to be smaller counts as none.")]
Correction = Annotated[str, typer.Option("--correction", help="Correction for multiple tests: auto, holm, max-t, bh or none.")]
NAMES = "Task names, separated by commas; lm-eval:NAME is any lm-eval task; may be repeated."
Tasks = Annotated[list[str] | None, typer.Option("--tasks", "-t", help=NAMES)]
Holdout = Annotated[
    float, typer.Option("--holdout", help="Hold out this share of the items (0.5): choose on the others, judge on these.")
]
Include = Annotated[
    list[Path] | None,
    typer.Option("--include-path", help="Your own task file, or a folder with .py and lm-eval's .yaml files."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the same facts as JSON on standard output.")]


def model_option(*names: str, text: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=MODEL)


def sandbox_option(*names: str, text: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=SANDBOX)


@dataclass(frozen=True)
class TaskOptions:
    """What to score."""

    tasks: Tasks = None
    suite: Annotated[str, typer.Option("--suite", help="A named set of tasks; see `skilldelta list suites`.")] = ""
    limit: Annotated[int | None, typer.Option("--limit", "-L", help="Only the first N examples of each group of a task.")] = (
        None
    )
    sample_seed: Annotated[int | None, typer.Option("--sample-seed", help="With --limit: N at random, by this seed.")] = None
    num_fewshot: Annotated[
        int | None, typer.Option("--num-fewshot", help="Solved examples in the prompt; for lm-eval:NAME tasks.")
    ] = None
    system_instruction: Annotated[
        str, typer.Option("--system-instruction", help="The system message; for lm-eval:NAME tasks.")
    ] = ""
    multiturn: Annotated[
        bool | None,
        typer.Option(
            "--fewshot-as-multiturn/--no-fewshot-as-multiturn",
            help="Solved examples as turns of their own, for lm-eval:NAME tasks; default: with --apply-chat-template.",
        ),
    ] = None
    include: Include = None

    def choose(self, chat_template: str = "") -> tuple[list[Task], dict[str, ExampleSelection]]:
        """The tasks, and which examples of each.  A chat template that the user named is also for lm-eval's tasks."""
        from harness import api, registry, suites

        names = split_names(self.tasks)
        if bool(names) == bool(self.suite):
            raise SkilldeltaError(
                "Say what to score: --tasks NAME,... or --suite NAME (`skilldelta list tasks`, `skilldelta list suites`)."
            )
        chat = chat_template not in ("", "none")
        prompts = registry.PromptSettings(self.num_fewshot, chat, self.system_instruction, self.multiturn)
        if self.suite:
            tasks, selections = suites.load_suite(self.suite, self.include or (), prompts)
        else:
            tasks, selections = api.resolve(",".join(names), self.include or (), prompts), {}
        return tasks, api.limits(self.limit, self.sample_seed) or selections


@dataclass(frozen=True)
class DataOptions:
    """Where rows come from, and what grades responses that no rule can."""

    data: Annotated[
        Path | None,
        typer.Option("--data", envvar="SKILLDELTA_DATA", help="Folder with the benchmarks' own files; default: the Hub."),
    ] = None
    judge: Annotated[
        list[str] | None,
        typer.Option("--judge", help="What grades the responses of a task: TASK=PLUGIN:WHERE; TASK=none grades them later."),
    ] = None

    def settings(self, **more: Any) -> EvaluationSettings:
        """These as EvaluationSettings, with `more` of its fields."""
        from harness import api, judge_binding
        from harness.evaluation.questions import EvaluationSettings

        return EvaluationSettings(folder=api.use_data(self.data), judges=judge_binding.parse_judges(self.judge or ()), **more)


@dataclass(frozen=True)
class ModelOptions:
    """What runs the model."""

    backend_name: Annotated[str, model_option("--backend", text="See `skilldelta list backends`.")] = "transformers"
    backend_args: Annotated[str, model_option("--backend-args", text="Settings of the backend: name=value,...")] = ""
    device: Annotated[str, model_option("--device", text="cpu, cuda, cuda:1 or mps; default: the fastest there is.")] = ""
    dtype: Annotated[
        str, model_option("--dtype", text="float32, bfloat16 or float16; default: as saved on a GPU, float32 on a CPU.")
    ] = ""
    batch_size: Annotated[
        int | None, model_option("--batch-size", "-b", text="Sequences per forward pass; default: by the device.")
    ] = None
    max_batch_tokens: Annotated[
        int | None, model_option("--max-batch-tokens", text="Tokens per forward pass; default: by the device.")
    ] = None
    chat_template: Annotated[
        str,
        model_option(
            "--apply-chat-template",
            text="auto (the model's own, if it has one), none or tulu; lm-eval:NAME tasks have one only where you name it.",
        ),
    ] = ""
    devices: Annotated[
        str, model_option("--devices", text="all, or a list (cpu,cpu or 0,1): a worker for each, which share checkpoints.")
    ] = ""
    template_args: Annotated[
        str, model_option("--template-args", text="Variables of the model's chat template: enable_thinking=false,...")
    ] = ""
    template_date: Annotated[
        str, model_option("--template-date", text="YYYY-MM-DD: the day for templates that read today's; default: a fixed one.")
    ] = ""
    template_prefix: Annotated[
        str,
        model_option(
            "--template-prefix",
            text="A task's own beginning of the answer, where the template opens a block of reasoning: refuse, close or drop.",
        ),
    ] = ""

    def backend(self) -> Backend:
        """The backend with the settings that were given."""
        from harness import api, config

        own = (
            *("device", "dtype", "batch_size", "max_batch_tokens", "chat_template"),
            *("template_args", "template_date", "template_prefix"),
        )
        settings = {name: value for name in own if (value := getattr(self, name)) not in (None, "")}
        return api.Backend(self.backend_name, config.parse_pairs(self.backend_args) | settings)


@dataclass(frozen=True)
class GenerationOptions:
    """How responses are generated."""

    gen_kwargs: Annotated[
        str, model_option("--gen-kwargs", text="temperature, top_p, max_tokens, stop: name=value,...; default: the task's own.")
    ] = ""
    draws: Annotated[
        int | None, model_option("--draws", text="Responses sampled for each prompt; default: the task's own.")
    ] = None
    seed: Annotated[int, model_option("--seed", text="Seed of sampled responses.")] = 0
    thinking_budget: Annotated[
        int, model_option("--thinking-budget", text="Tokens for reasoning, besides max_tokens, which then are the answer's.")
    ] = 0
    reasoning_tags: Annotated[
        list[str] | None,
        model_option("--reasoning-tags", text="OPEN,CLOSE around reasoning; may be repeated; none: score whole texts."),
    ] = None

    def settings(self) -> dict[str, Any]:
        """Fields of EvaluationSettings."""
        from harness import api, config
        from harness.prompts.reading import Reader

        overrides = api.generation(config.parse_pairs(self.gen_kwargs))
        if self.thinking_budget < 0:
            raise SkilldeltaError(f"--thinking-budget {self.thinking_budget}: write a number of tokens, 0 or more.")
        overrides |= {"thinking": self.thinking_budget} if self.thinking_budget else {}
        reader = Reader.with_tags(self.reasoning_tags or ())
        return {"overrides": overrides, "draws": self.draws, "seed": self.seed, "reader": reader}


@dataclass(frozen=True)
class ConfinementOptions:
    """How programs that a model wrote are confined."""

    sandbox: Annotated[
        str, sandbox_option("--sandbox", text="namespaces, landlock, docker or podman; default: the strongest that works here.")
    ] = ""
    sandbox_limits: Annotated[
        str, sandbox_option("--sandbox-limits", text="cpu_s=5,memory_mb=1024,...; or paper: 3 s of wall clock.")
    ] = ""
    unsafe_local_code: Annotated[
        bool, sandbox_option("--unsafe-local-code", text="Run the programs UNCONFINED; every result says so.")
    ] = False

    def options(self) -> SandboxOptions:
        return SandboxOptions("none" if self.unsafe_local_code else self.sandbox, self.sandbox_limits)


@dataclass(frozen=True)
class SequentialOptions:
    """Two checkpoints asked in turn, until their difference is decided."""

    against: Annotated[
        str,
        typer.Option(
            "--against",
            help="A baseline's folder: ask both in turn, and stop each task when it is decided.",
            rich_help_panel=REPEATS,
        ),
    ] = ""
    until: Annotated[
        str, typer.Option("--until", help="decided, or all: ask both every question.", rich_help_panel=REPEATS)
    ] = "decided"
    margin: Annotated[
        float, typer.Option("--margin", help="Points: also stop when the difference is smaller.", rich_help_panel=REPEATS)
    ] = 0.0

    def check(self) -> None:
        """Raises SkilldeltaError where --until is no choice."""
        check_until(self.until)


def check_until(until: str) -> None:
    """Raises SkilldeltaError where --until is no choice."""
    if until not in ("decided", "all"):
        raise SkilldeltaError(f"--until {until}: write decided or all.")
