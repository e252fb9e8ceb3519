"""skilldelta reward-accuracy and best-of-n: reward models and judges asked directly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from harness.cli import options
from harness.cli.screen import note, print_json, print_table
from harness.types import SkilldeltaError

Models = Annotated[list[str], typer.Argument(help="Folders of reward models, or judges as PLUGIN:WHERE.")]
Base = Annotated[str, typer.Option("--base", help="The folder of the base of adapters whose base is not where they say.")]
MAX_REASONS = 3  # why grades are unreadable, the most frequent first
COLUMNS = ("section", "subset", "pairs", "unreadable", "ties", "accuracy %", "95 % interval")


def reward_accuracy(
    models: Models,
    pairs: Annotated[
        str, typer.Option("--pairs", help="Preference pairs, as `train reward` reads them; default: RewardBench.")
    ] = "",
    data: Annotated[Path | None, typer.Option("--data", envvar="SKILLDELTA_DATA", help="Folder with rewardbench/.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-L", help="Only the first N pairs of each subset; 0: all.")] = 0,
    base: Base = "",
    as_json: options.Json = False,
) -> None:
    """How often each reward model or judge prefers the better answer of a pair: by subset and by RewardBench's sections."""
    from harness.grading.rewardbench import read_pairs, section_scores, subset_accuracies
    from harness.grouping import group_by
    from harness.judge_binding import LazyJudge
    from harness.training.messages import describe_faults
    from harness.training.pair_questions import read_pair_questions

    if limit < 0:
        raise SkilldeltaError(f"--limit {limit}: write 1 or more, or 0 for all.")
    judges = [LazyJudge(m if ":" in m else f"reward:{m}" + (f",base={base}" if base else "")) for m in models]
    every, faults = read_pair_questions(pairs) if pairs else (read_pairs(data), {})
    subsets = group_by(every, lambda pair: pair.subset).values()
    rows = [pair for subset in subsets for pair in list(subset)[: limit or None]]
    if faults:
        note(f"{pairs}: {len(every)} pairs; {sum(faults.values())} skipped: {describe_faults(faults)}.")
    facts: list[dict[str, Any]] = []
    for model, judge in zip(models, judges, strict=True):
        accuracies = subset_accuracies(judge.get(), rows)
        sections = section_scores({a.name: (a.n, a.accuracy) for a in accuracies})
        facts.append(
            {"model": model, "judge": judge.identity, "subsets": [subset_fact(a) for a in accuracies], "sections": sections}
        )
        if not as_json:
            print_table(COLUMNS, [subset_line(a) for a in accuracies], f"{model} ({judge.identity})", COLUMNS[2:])
            if text := all_ties_text(accuracies):
                note(text)
            for reason, count in sum((Counter(a.reasons) for a in accuracies), Counter[str]()).most_common(MAX_REASONS):
                note(f"{count} unreadable: {reason or 'no reason is known'}.")
            note(
                "  ".join(f"{name} {100 * score:.1f}" for name, score in sections.items()) or "No section has all its subsets."
            )
    if as_json:
        print_json(facts)


def subset_line(accuracy: Any) -> tuple[str, ...]:
    """A subset as a line of the table."""
    share = f"{100 * accuracy.accuracy:.1f}" if accuracy.n else "–"
    interval = f"{100 * accuracy.interval.low:.1f} to {100 * accuracy.interval.high:.1f}"
    return accuracy.section, accuracy.name, *map(str, (accuracy.n, accuracy.unreadable, accuracy.ties)), share, interval


def all_ties_text(accuracies: Sequence[Any]) -> str:
    """That nothing was preferred in any pair, each of which counts as half right; "" where something was."""
    pairs, ties = sum(a.n for a in accuracies), sum(a.ties for a in accuracies)
    return f"All {pairs} readable pairs are ties: no answer was preferred, and 50 % says nothing." if 0 < pairs == ties else ""


def subset_fact(accuracy: Any) -> dict[str, Any]:
    """A subset as JSON; null for an accuracy that nothing says."""
    low, high = accuracy.interval.low, accuracy.interval.high
    value = round(accuracy.accuracy, 6) if accuracy.n else None
    facts = {"subset": accuracy.name, "section": accuracy.section, "n": accuracy.n, "unreadable": accuracy.unreadable}
    facts |= {"ties": accuracy.ties, **({"reasons": dict(accuracy.reasons)} if accuracy.reasons else {})}
    return {**facts, "accuracy": value, "low": round(low, 6), "high": round(high, 6)}


def best_of_n(
    draws: Annotated[Path, typer.Argument(help="A results folder with several draws of each example (score --draws N).")],
    models: Annotated[list[str], typer.Argument(help="Folders of reward models, or of their runs.")],
    output: options.Output = Path("best-of-n"),
    base: Base = "",
    as_json: options.Json = False,
) -> None:
    """For each reward model, the draw that it likes best: a results folder to compare with the first draws, `first`."""
    from harness.studies.best_of_n import choose_draws

    if judges := [model for model in models if ":" in model and not Path(model).exists()]:
        raise SkilldeltaError(
            f"best-of-n takes folders of reward models, and no judge such as {judges[0]} (their base: --base)."
        )

    accuracies = choose_draws(draws, output, models, base=base)
    if as_json:
        print_json(accuracies)
        return
    lines = [
        (name, str(a["n"]), str(a["right"]), "–" if a["share"] is None else f"{100 * a['share']:.1f}")
        for name, a in accuracies.items()
    ]
    columns = ("reward model", "prompts with a right and a wrong draw", "right above wrong", "%")
    print_table(columns, lines, "", columns[1:])
    note(f"Next: skilldelta compare {quote(str(output))} --baseline first")


VERBS = (reward_accuracy, best_of_n)
