"""Options that several verbs share: declared once, so that a flag means the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# Headings of `score --help`, which has too many options for one list.
MODEL, SANDBOX, REPEATS = "Model and prompts", "Programs that a model wrote", "Two checkpoints in turn, and repeats"

Checkpoints = Annotated[list[str], typer.Argument(help="Folders of checkpoints or training runs, or names on the Hub.")]
ResultsFolder = Annotated[Path, typer.Argument(help="A results folder.")]
ResultsFolders = Annotated[list[Path], typer.Argument(help="Results folders.")]

Tasks = Annotated[str, typer.Option("--tasks", "-t", help="Task names, separated by commas; lm-eval:NAME is any lm-eval task.")]
Suite = Annotated[str, typer.Option("--suite", help="A named set of tasks; see `skilldelta list suites`.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="The results folder.")]
Data = Annotated[
    Path | None,
    typer.Option("--data", envvar="SKILLDELTA_DATA", help="Folder with the benchmarks' own files; default: the Hub."),
]
Include = Annotated[list[Path] | None, typer.Option("--include-path", help="Your own task file, or a folder of them.")]
Limit = Annotated[int | None, typer.Option("--limit", "-L", help="Only the first N examples of each group of a task.")]
Judges = Annotated[
    list[str] | None,
    typer.Option("--judge", help="What grades the responses of a task: TASK=PLUGIN:WHERE; TASK=none grades them later."),
]
Backend = Annotated[
    str, typer.Option("--backend", help="What runs the model: transformers, openai or lm-eval:NAME.", rich_help_panel=MODEL)
]
BackendArgs = Annotated[
    str, typer.Option("--backend-args", help="Settings of the backend: name=value,...", rich_help_panel=MODEL)
]

Baseline = Annotated[str, typer.Option("--baseline", help="The checkpoint that the others are compared with.")]
Candidates = Annotated[list[str] | None, typer.Option("--candidate", help="Compare only this checkpoint; may be repeated.")]
Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", help="Compare although this setting differs between the results; may be repeated."),
]
Margin = Annotated[float, typer.Option("--margin", help="Points: a difference shown to be smaller counts as none.")]
Correction = Annotated[str, typer.Option("--correction", help="Correction for multiple tests: auto, holm, max-t, bh or none.")]
Json = Annotated[bool, typer.Option("--json", help="Print the same facts as JSON on standard output.")]

Device = Annotated[
    str, typer.Option("--device", help="cpu, cuda, cuda:1 or mps; default: the fastest there is.", rich_help_panel=MODEL)
]
Dtype = Annotated[str, typer.Option("--dtype", help="float32, bfloat16 or float16; default: as saved on a GPU, float32 on a CPU.", rich_help_panel=MODEL)]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", "-b", help="Sequences per forward pass; default: by the device.", rich_help_panel=MODEL),
]
MaxBatchTokens = Annotated[
    int | None,
    typer.Option(
        "--max-batch-tokens", help="Tokens per forward pass of a local model; default: by the device.", rich_help_panel=MODEL
    ),
]
ChatTemplate = Annotated[
    str,
    typer.Option("--apply-chat-template", help="auto (the model's own, if it has one), none or tulu.", rich_help_panel=MODEL),
]
FewShot = Annotated[
    int | None,
    typer.Option("--num-fewshot", help="Solved examples in the prompt; for lm-eval:NAME tasks.", rich_help_panel=MODEL),
]
SampleSeed = Annotated[int | None, typer.Option("--sample-seed", help="With --limit: N examples at random, by this seed.")]
GenKwargs = Annotated[
    str, typer.Option("--gen-kwargs", help="temperature=0.8,top_p=0.95,max_tokens=512", rich_help_panel=MODEL)
]
Draws = Annotated[
    int | None,
    typer.Option("--draws", help="Responses sampled for each prompt; default: the task's own.", rich_help_panel=MODEL),
]

SandboxTier = Annotated[
    str,
    typer.Option(
        "--sandbox",
        help="namespaces, landlock, docker or podman; default: the strongest that works here.",
        rich_help_panel=SANDBOX,
    ),
]
SandboxLimits = Annotated[
    str,
    typer.Option(
        "--sandbox-limits",
        help="What a program may use: cpu_s=5,memory_mb=1024,...; paper: 3 s of wall clock.",
        rich_help_panel=SANDBOX,
    ),
]
Unconfined = Annotated[
    bool,
    typer.Option(
        "--unsafe-local-code", help="Run programs that a model wrote UNCONFINED; every result says so.", rich_help_panel=SANDBOX
    ),
]

CheckNoise = Annotated[
    float,
    typer.Option(
        "--check-noise",
        help="Repeat this share (0.02: 2 %) in other batches, and report what changed.",
        rich_help_panel=REPEATS,
    ),
]
Against = Annotated[
    str,
    typer.Option(
        "--against",
        help="A baseline's folder: ask both in turn, and stop each task when it is decided.",
        rich_help_panel=REPEATS,
    ),
]
Until = Annotated[
    str, typer.Option("--until", help="With --against: decided, or all to ask both every question.", rich_help_panel=REPEATS)
]
