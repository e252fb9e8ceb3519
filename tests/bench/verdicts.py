"""Recorded public verdicts against ours: the table of harness/docs/verdicts.md.

`python -m tests.bench.verdicts DATA` prints what can be told in seconds; `--programs` adds EvalPlus's, for which 1,084 programs
run; `--zero-eval FOLDER` scores the GSM8K outputs of a clone of github.com/WildEval/ZeroEval against its published figures.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from sklearn.metrics import cohen_kappa_score

from harness import data, registry
from harness.types import Example, Response
from tasks import bbh, gsm8k, ifbench_rules, ifeval, ifeval_rules, xstest
from tasks.answer_reading.refusals import refusal_kind
from tasks.answer_reading.stated_number import read_number
from tests.support.ifbench_outputs import has_ifbench_outputs, read_ifbench_outputs

GSM8K_MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
XSTEST_MODELS = ("gpt4", "llama2orig", "mistralinstruct")
EVALPLUS_MODELS = ("meta-llama--Meta-Llama-3-8B-Instruct", "custom_finetuned_models--llama3_instruct_dpo")
HEADER = ("task", "recorded verdicts", "our rule", "compared", "agree", "disagree", "who is right where they disagree")


@dataclass(frozen=True)
class VerdictRow:
    task: str
    source: str
    rule: str
    compared: int
    agree: int
    right: str = ""

    def cells(self) -> tuple[str, ...]:
        counts = (self.compared, self.agree, self.compared - self.agree)
        return (self.task, self.source, self.rule, *(f"{count:,}" for count in counts), self.right)


def count_equal(pairs: Iterable[tuple[bool, bool]]) -> tuple[int, int]:
    """How many pairs there are, and how many are equal."""
    equal = [ours == theirs for ours, theirs in pairs]
    return len(equal), sum(equal)


def gsm8k_rows(folder: Path) -> Iterator[VerdictRow]:
    """Four models of grade-school-math, whose authors recorded `is_correct`."""
    answers = {row["question"]: str(row["answer"]) for row in gsm8k.rows(folder)}
    lines = data.read(folder / "gsm8k/golden/example_model_solutions.jsonl.gz")
    outputs = [(Example({"answer": answers[line["question"]]}), line[model]) for line in lines for model in GSM8K_MODELS]
    verdicts = [(gsm8k.score(example, Response(o["solution"])), bool(o["is_correct"])) for example, o in outputs]
    source = "4 models of grade-school-math"
    yield VerdictRow("gsm8k", source, "headline", *count_equal((score.value == 1, flag) for score, flag in verdicts))
    yield VerdictRow("gsm8k", source, "study", *count_equal((score.parts["study"] == 1, flag) for score, flag in verdicts))


def bbh_rows(folder: Path) -> Iterator[VerdictRow]:
    """code-davinci-002: the accuracy of 14 subtasks was recorded, so subtasks are compared, and answers under both rules."""
    accuracies, verdicts = [], []
    for file in sorted((folder / "bbh/golden/code-davinci-002-cot").glob("*.json.gz")):
        metrics = file.with_name(file.name.replace(".json.gz", "_eval_metrics.jsonl"))
        outputs = json.loads(gzip.decompress(file.read_bytes()))["outputs"]
        scores = [bbh.score(davinci_example(file, o), Response(o["prediction"])) for o in outputs]
        authors = 100 * sum(score.parts["authors"] for score in scores) / len(scores)
        accuracies.append((abs(authors - json.loads(metrics.read_text())["accuracy"]) < 0.01, True))
        verdicts += [(score.value == 1, score.parts["authors"] == 1) for score in scores]
    yield VerdictRow("bbh", "14 accuracies of code-davinci-002", "authors", *count_equal(accuracies))
    yield VerdictRow("bbh", "the same 3,500 answers by the authors' rule", "headline", *count_equal(verdicts))


def davinci_example(file: Path, output: dict[str, Any]) -> Example:
    question = output["input"].rsplit("\n\nQ: ", 1)[1].rsplit("\nA:", 1)[0]
    return Example({"subtask": file.name.removesuffix(".json.gz"), "input": question, "target": output["target"]})


def ifeval_rows(folder: Path) -> Iterator[VerdictRow]:
    """The official scorer's verdicts on GPT-4's responses: each instruction, strict and loose."""
    rows = {row["prompt"]: row for row in ifeval.rows(folder)}
    pairs = []
    for kind, follows in (("strict", ifeval_rules.follows), ("loose", ifeval_rules.follows_loosely)):
        for line in data.read(folder / f"ifeval/golden/podtech_gpt4_eval_results_{kind}.first270.jsonl"):
            instructions = ifeval.instructions(rows[line["prompt"]])
            ours = [follows(name, kwargs, line["response"]) for name, kwargs in instructions]
            pairs += zip(ours, line["follow_instruction_list"], strict=True)
    right = "ours: the official scorer draws a letter at random where the prompt asks for #"
    yield VerdictRow("ifeval", "GPT-4 by the official scorer, strict and loose", "headline", *count_equal(pairs), right)


def ifbench_rows(folder: Path) -> Iterator[VerdictRow]:
    """The authors' verdicts on the outputs in their repository: each instruction, strict and loose."""
    pairs = [
        (ifbench_rules.follows_ifbench(name, kwargs, response, is_loose=kind == "loose"), verdict)
        for kind in ("strict", "loose")
        for name, kwargs, response, verdict in read_ifbench_outputs(folder, kind)
    ]
    right = "ours: the verdict is of an earlier version of the authors' rule"
    yield VerdictRow("ifbench", "the authors' sample outputs, strict and loose", "headline", *count_equal(pairs), right)


def xstest_rows(folder: Path) -> Iterator[VerdictRow]:
    """Three models with the authors' string labels and two annotators' labels."""
    file = "xstest/golden/automated_labels/xstest_v2_completions_{}_streval.csv"
    lines = [line for model in XSTEST_MODELS for line in data.read(folder / file.format(model))]
    authors = [xstest.matches_authors_rule(line["completion"]) for line in lines]
    headline = [bool(refusal_kind(line["completion"])) for line in lines]
    strings, people = ([is_refusal(line[name]) for line in lines] for name in ("strmatch_label", "final_label"))
    yield VerdictRow("xstest", "the authors' string labels", "authors", *count_equal(zip(authors, strings, strict=True)))
    for rule, ours in (("authors", authors), ("headline", headline)):
        kappa = f"people; kappa {cohen_kappa_score(ours, people):.2f}"
        yield VerdictRow("xstest", "the annotators' labels", rule, *count_equal(zip(ours, people, strict=True)), kappa)


def is_refusal(label: str) -> bool:
    """Full and partial refusals, as the study counts."""
    return "refusal" in label


def evalplus_rows(folder: Path) -> Iterator[VerdictRow]:
    """EvalPlus's base and plus verdicts on Llama 3 before and after DPO: these run programs in the sandbox."""
    for name in ("humaneval_plus", "mbpp_plus"):
        task = registry.task(name)
        examples = {str(example.row["task_id"]): example for example in data.examples(task, folder)}
        pairs = []
        for model in EVALPLUS_MODELS:
            file = f"{name.replace('_', '')}/golden/evalplus_results/{model}_vllm_temp_0.0-sanitized_eval_results.json"
            for key, [sample] in json.loads((folder / file).read_text())["eval"].items():
                score = task.score(examples[key], Response(sample["solution"]))
                base, plus = sample["base_status"] == "pass", sample["plus_status"] == "pass"
                pairs += [(score.parts["base"] == 1, base), (score.value == 1, base and plus)]
        yield VerdictRow(name, "Llama 3 8B before and after DPO, base and plus, by EvalPlus", "headline", *count_equal(pairs))


RowSource = Callable[[Path], Iterator[VerdictRow]]
ROWS: tuple[RowSource, ...] = (gsm8k_rows, bbh_rows, ifeval_rows, xstest_rows)
SLOW_ROWS = (evalplus_rows,)


def zero_eval(folder: Path) -> Iterator[tuple[str, ...]]:
    """Points on ZeroEval's GSM8K outputs, which have an answer field: published, headline, study."""
    published = {row["Model"]: float(row["Acc"]) for row in json.loads((folder / "gsm.summary.json").read_text())}
    for file in sorted((folder / "gsm").glob("*.json")):
        if file.stem in published:
            outputs = json.loads(file.read_text())
            figures = [sum(verdicts) / len(outputs) * 100 for verdicts in zip(*map(zero_eval_verdicts, outputs), strict=True)]
            yield (file.stem, *(f"{figure:.2f}" for figure in (published[file.stem], *figures)))


def zero_eval_verdicts(output: dict[str, Any]) -> tuple[bool, bool]:
    right, text = Fraction(output["answer"].replace("#", "").replace(",", "").strip()), output["output"][0]
    number, last = read_number(text).number, gsm8k.last_number(text)
    return number is not None and number.value == right, bool(last) and Fraction(last) == right


def format_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder with the benchmarks' rows and recorded outputs")
    parser.add_argument("--programs", action="store_true", help="also EvalPlus's verdicts: minutes")
    parser.add_argument("--zero-eval", type=Path, metavar="FOLDER", help="result_dirs of a clone of WildEval/ZeroEval")
    options = parser.parse_args()
    sources = (*ROWS, *((ifbench_rows,) if has_ifbench_outputs(options.data) else ()), *(SLOW_ROWS if options.programs else ()))
    print(format_table(HEADER, (row.cells() for source in sources for row in source(options.data))))
    if options.zero_eval:
        print("\n" + format_table(("GSM8K outputs", "published", "headline", "study"), zero_eval(options.zero_eval)))


if __name__ == "__main__":
    main()
