"""lm-eval: what --log_samples writes, samples_*.jsonl with their results_*.json.

Every filter of a task is a result of its own, never averaged with another: the first is what counts for the skill, the others
stand beside it.  The score is the first metric of a filter that is a mean of values in 0..1 and better when higher; its other
means are metrics beside the score.  What is a mean is seen from the results file: it must be what the samples add up to.
A group whose members are all there is one task, its members the groups of its examples, averaged as lm-eval averaged it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.imports.lm_eval_lines import table
from harness.interchange.log import UNKNOWN, Log, Refused, asked, task
from harness.interchange.reading import File, an_object, whole
from harness.interchange.tables import CLOSE, Reading, Table, combined
from harness.types import Aggregate, Json, SkilldeltaError

IDENTITY = ("pretrained", "peft", "delta", "path", "model", "engine", "revision", "subfolder", "tokenizer", "base_url")
NAMED = ("peft", "delta", "pretrained", "model", "path", "engine")  # lm-eval's own order of what names a model


def known(file: File) -> bool:
    if file.kind == ".jsonl":
        return {"doc_id", "resps"} <= set(file.first)
    return {"results", "configs", "versions"} <= set(file.first) and "config_general" not in file.first


def units(files: Sequence[File]) -> list[list[File]]:
    """The files of one run: of one folder and one time."""
    runs: dict[tuple[Path, str], list[File]] = {}
    for file in files:
        runs.setdefault((file.path.parent, stamp(file.name)), []).append(file)
    return list(runs.values())


def stamp(name: str) -> str:
    """The time in a file's name: what follows the last underscore."""
    return name.removesuffix(".gz").rpartition(".")[0].rpartition("_")[2]


def read(files: Sequence[File]) -> Iterator[Log | Refused]:
    """Every task of a run."""
    found = [f for f in files if f.kind == ".json"]
    if len(found) > 1:
        raise SkilldeltaError(f"{found[0].path} and {found[1].path} are of one run: which one belongs to its samples?")
    results = an_object(whole(found[0].path), str(found[0].path)) if found else {}
    model = str(results.get("model_name") or named(results) or files[0].path.parent.name)
    samples = [f for f in files if f.kind == ".jsonl"]
    if not samples:
        raise SkilldeltaError(
            f"{found[0].path} has no samples_*_{stamp(found[0].name)}.jsonl with it: only means, which cannot be compared item "
            "by item.  Run lm-eval with --log_samples, and name its whole output folder here."
        )
    tables: dict[str, Table] = {}
    for file in samples:
        name = file.name.removeprefix("samples_").rpartition("_")[0]
        try:
            tables[name] = table(name, file.path, results)
        except SkilldeltaError as error:
            yield Refused(model, f"lm-eval:{name}", str(error))
    for one in together(tables, results):
        yield from logs(model, one, results)


def together(tables: dict[str, Table], results: Json) -> Iterator[Table]:
    """The tables, those of a group as one."""
    left = dict(tables)
    tree = results.get("group_subtasks") or {}
    inner = {child for children in tree.values() for child in children}
    for group in (g for g in tree if g not in inner and tree[g]):
        leaves = below(group, tree)
        one = combined(group, [tables[leaf] for leaf in leaves]) if all(leaf in tables for leaf in leaves) else None
        if one and all(average(reading, group, results) for reading in one.readings):
            yield one
            left = {name: t for name, t in left.items() if name not in leaves}
    yield from left.values()


def below(group: str, tree: Mapping[str, Sequence[str]], depth: int = 0) -> list[str]:
    """The tasks under a group, at any depth."""
    if not tree.get(group) or depth > len(tree):
        return [group]
    return list(dict.fromkeys(leaf for child in tree[group] for leaf in below(child, tree, depth + 1)))


def average(reading: Reading, name: str, results: Json) -> Aggregate | None:
    """How a group was averaged, from what came out: over documents, over members, or in no known way."""
    told = (results.get("groups") or {}).get(name, {}).get(reading.headline + reading.suffix)
    ways: tuple[Aggregate, ...] = ("mean", "macro")
    return next((how for how in ways if isinstance(told, float | int) and abs(reading.mean(how) - told) <= CLOSE), None)


def logs(model: str, found: Table, results: Json) -> Iterator[Log | Refused]:
    """One log for each filter."""
    several = len(found.readings) > 1
    first = ""
    for reading in found.readings:
        name = f"lm-eval:{found.name}@{reading.name}" if several else f"lm-eval:{found.name}"
        if not reading.headline:
            yield Refused(model, name, reading.why)
            continue
        version = (results.get("versions") or {}).get(found.name, UNKNOWN)
        source = f"lm-eval {results.get('lm_eval_version', UNKNOWN)}, {found.name}, version {version}"
        summary = f"lm-eval's {found.name}; headline {reading.headline}{reading.suffix}"
        how = average(reading, found.name, results) if found.members else "mean"
        about = task(name, version, source, summary, reading.metrics(), how or "mean") | ({"beside": first} if first else {})
        first = first or name
        settings = reading.settings | {"num_fewshot": (results.get("n-shot") or {}).get(found.name, UNKNOWN)}
        yield Log(
            model, about, asked(reading.samples, reading.prompts, settings), answered(results), reading.samples,
            reading.rows, reading.left_out(), {"task": found.name, "filter": reading.name, "metric": reading.headline},
        )  # fmt: skip


def answered(results: Json) -> dict[str, object]:
    """What the log says of the backend; `template` is none where the log says that there was none."""
    config = results.get("config") or {}
    arguments = config.get("model_args")
    pairs = dict(p.partition("=")[::2] for p in arguments.split(",")) if isinstance(arguments, str) else dict(arguments or {})
    told = {
        "lm-eval": results.get("lm_eval_version"),
        "transformers": results.get("transformers_version"),
        "dtype": config.get("model_dtype"),
        "window": results.get("max_length"),
    }
    asked_with = {
        "template": "chat_template_sha", "system": "system_instruction_sha", "fewshot_as_multiturn": "fewshot_as_multiturn"
    }  # fmt: skip
    return {
        "backend": f"lm-eval:{config.get('model') or UNKNOWN}",
        **{name: UNKNOWN if value is None else value for name, value in told.items()},
        **{name: (results[key] or "none") if key in results else UNKNOWN for name, key in asked_with.items()},
        "args": {k: v for k, v in sorted(pairs.items()) if k not in IDENTITY},
    }


def named(results: Json) -> str:
    """The model, where an older version did not write its name."""
    arguments = (results.get("config") or {}).get("model_args") or ""
    pairs = dict(p.partition("=")[::2] for p in arguments.split(",")) if isinstance(arguments, str) else dict(arguments)
    return next((str(pairs[n]) for n in NAMED if n in pairs), "")
