"""Suites: tasks and their sizes from a YAML file."""

import random
from pathlib import Path

import pydantic
import pytest

from harness import config, data, registry, suites
from harness.cli.options import ModelOptions
from harness.cli.suite_template import with_suite_template
from harness.data import ExampleSelection
from harness.judge_binding import bind_judges, parse_judges
from harness.types import SkilldeltaError


@pytest.mark.slow
def test_every_own_suite_names_tasks_that_exist() -> None:
    found = suites.bundled_suites()
    assert {"quick", "paper", "full"} <= {s.name for s in found}
    for suite in found:
        tasks, selections = suites.load_suite(suite.name)
        assert [t.name for t in tasks] == suite.names() == list(selections)
        assert suite.summary


@pytest.mark.slow
def test_the_paper_suite_has_the_studys_sizes() -> None:
    _, selections = suites.load_suite("paper")
    assert selections["mmlu"] == ExampleSelection()
    assert selections["gsm8k"] == ExampleSelection(200, 42)
    assert selections["bbh"] == ExampleSelection(40, 42)


@pytest.mark.slow
@pytest.mark.data
def test_gsm8k_in_the_paper_suite_is_the_studys_own_sample(real_data: Path) -> None:
    """The study seeds Python's generator with 42 and draws 200 of the test file's lines."""
    rows = data.read(real_data / "gsm8k/test.jsonl")
    theirs = random.Random(42).sample(rows, 200)
    ours = data.examples(registry.task("gsm8k"), real_data, suites.load_suite("paper")[1]["gsm8k"])
    assert {e.row["question"] for e in ours} == {row["question"] for row in theirs}
    assert len(ours) == 200


@pytest.mark.slow
@pytest.mark.data
def test_bbh_in_the_paper_suite_has_forty_of_each_subtask(real_data: Path) -> None:
    found = data.examples(registry.task("bbh"), real_data, suites.load_suite("paper")[1]["bbh"])
    groups = [e.row["subtask"] for e in found]
    assert len(groups) == 27 * 40
    assert {groups.count(g) for g in groups} == {40}


def test_an_own_file_is_a_suite_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("summary: mine\ntasks:\n  - {task: gsm8k, limit: 3}\n")
    tasks, selections = suites.load_suite(str(path))
    assert [t.name for t in tasks] == ["gsm8k"]
    assert selections == {"gsm8k": ExampleSelection(3)}


def test_an_unknown_suite_names_the_near_one() -> None:
    with pytest.raises(SkilldeltaError, match=r"no suite 'quik'.*Did you mean 'quick'"):
        suites.load_suite("quik")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("summary: x\ntasks:\n  - {task: gsm8k, limmit: 3}\n", "limmit"),
        ("summary: x\ntasks:\n  - {task: gsm8k, limit: many}\n", "many"),
        ("summary: x\ntasks:\n  - {task: gsm8k, limit: 0}\n", "below 1"),
        ("summary: x\ntasks:\n  - {task: gsm8k}\n  - {task: gsm8k}\n", "more than once"),
        ("summary: x\ntasks: []\n", "no tasks"),
        ("summary: x\ntask: []\n", "task"),
        ("tasks:\n  - {task: gsm8k}\n", "summary"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(SkilldeltaError, match=said):
        suites.read_suite(path)


def test_an_unknown_task_in_a_suite_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("summary: mine\ntasks:\n  - {task: gsm9k}\n")
    with pytest.raises(SkilldeltaError, match="Did you mean 'gsm8k'"):
        suites.load_suite(str(path))


@pytest.mark.slow
def test_the_paper_suite_has_every_benchmark_of_the_study_and_its_template() -> None:
    suite = suites.find_suite("paper")
    skills = {task.name: task.skill for task in suites.load_suite("paper")[0]}
    assert len(skills) == 11
    assert sorted(set(skills.values())) == sorted(
        ("factuality", "reasoning", "coding", "truthfulness", "safety", "instruction following")
    )
    assert suite.template == suites.find_suite("paper-rules").template == "tulu"
    assert not any(task.judged for task in suites.load_suite("paper-rules")[0])
    assert suites.load_suite("paper")[1]["toxigen"] == ExampleSelection(500, 42)


def test_a_suites_template_is_used_unless_another_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert with_suite_template(ModelOptions(), "paper").chat_template == "tulu"
    assert with_suite_template(ModelOptions(chat_template="none"), "paper").chat_template == "none"
    assert (
        with_suite_template(ModelOptions(), "quick").chat_template
        == with_suite_template(ModelOptions(), "").chat_template
        == ""
    )
    assert with_suite_template(ModelOptions(backend_name="openai"), "paper").chat_template == ""
    assert "the backend openai keeps its own" in capsys.readouterr().err


@pytest.mark.slow
def test_a_judge_for_all_tasks_is_the_one_of_every_task_that_has_none_named() -> None:
    tasks = suites.load_suite("paper")[0]
    judges = parse_judges(["all=llm:scripted:x", "toxigen=none"])
    bound = {task.name: task.judge for task in bind_judges(tasks, judges) if task.judged}
    assert bound.pop("toxigen") == ""
    assert len(bound) == 4
    assert all(judge.startswith("llm:scripted:x@") for judge in bound.values())


def test_a_suite_of_many_tasks_builds_each_of_its_classes_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builds, adapter = [], pydantic.TypeAdapter

    def build(kind: type) -> object:
        builds.append(kind.__name__)
        return adapter(kind)

    monkeypatch.setattr(pydantic, "TypeAdapter", build)
    config.field_types.cache_clear()
    path = tmp_path / "long.yaml"
    path.write_text("summary: long\ntasks:\n" + "".join(f"- {{task: t{i}}}\n" for i in range(500)))
    assert len(suites.read_suite(path).parts) == 500
    assert sorted(builds) == ["SuiteFile", "SuitePart"]
