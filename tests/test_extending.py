"""Every file of the page `extending` does what the page says, as a plug-in that the program finds by its name."""

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import registry
from tests.checkpoints.test_discovery import model, run
from tests.support.results_folder import about, sample, store
from tests.test_cli import skilldelta

PAGE = Path(__file__).resolve().parent.parent / "harness" / "docs" / "extending.md"
BLOCKS = re.findall(r"^```python\n# (\S+)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's files beside the program's own: in each package's path, and in the registry's lists."""
    added: dict[str, dict[str, str]] = {}
    for name, code in BLOCKS:
        file = tmp_path / "plugins" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code)
        package = name.rpartition("/")[0].replace("/", ".")
        monkeypatch.setattr(
            importlib.import_module(package), "__path__", [*importlib.import_module(package).__path__, str(file.parent)]
        )
        added.setdefault(package, {})[file.stem] = code
    own = registry.modules

    def modules(kind: str) -> list[str]:
        package, hook = registry.KINDS[kind].package, registry.KINDS[kind].hook
        return own(kind) + [
            n for n, code in added.get(package, {}).items() if re.search(rf"^(def )?{hook}\b", code, re.MULTILINE)
        ]

    monkeypatch.setattr(registry, "modules", modules)
    yield
    for name, _ in BLOCKS:
        sys.modules.pop(name.removesuffix(".py").replace("/", "."), None)


def values(folder: Path) -> list[float | None]:
    """The stored scores of the only cell of a results folder."""
    (file,) = folder.rglob("samples.jsonl")
    return [json.loads(line)["score"] for line in file.read_text().splitlines()]


def test_the_page_has_a_file_of_every_kind() -> None:
    kinds = {name.rpartition("/")[0] for name, _ in BLOCKS}
    assert kinds == {kind.package.replace(".", "/") for kind in registry.KINDS.values()}


def test_the_task_is_scored_by_the_backend(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    flags = ["-t", "capitals", "--backend", "echo", "-o", tmp_path / "results"]
    code, _, err = skilldelta(capsys, "score", model(tmp_path / "sft"), *flags)
    assert code == 0, err
    assert values(tmp_path / "results") == [0.0, 0.0]  # the question names the country alone
    facts = json.loads(next((tmp_path / "results").rglob("task.json")).read_text())
    assert '"backend": "echo"' in json.dumps(facts)
    code, _, err = skilldelta(capsys, "score", tmp_path / "sft", *flags, "--backend-args", "lower=true")
    assert (code, "There are: upper" in err) == (3, True)


@pytest.mark.slow
def test_the_reports_file_is_written_with_the_others(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = run(tmp_path / "dpo", (10, 20))
    skilldelta(capsys, "score", folder, "-t", "capitals", "--backend", "echo", "-o", tmp_path / "results")
    code, _, err = skilldelta(capsys, "compare", tmp_path / "results", "--baseline", "dpo@10", "-o", tmp_path / "report")
    assert code == 0, err
    assert (tmp_path / "report" / "winners.txt").read_text() == "factuality: dpo@20 0.0\n"


def test_the_producer_finds_its_runs_and_no_others(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = run(tmp_path / "dpo", (10, 100, 20))
    (folder / "axolotl_config.yaml").write_text("base_model: x\n")
    run(tmp_path / "other", (10,))
    code, out, err = skilldelta(capsys, "checkpoints", folder, tmp_path / "other", "--json")
    assert code == 0, err
    assert [(c["producer"], c["step"]) for c in json.loads(out)] == [
        ("axolotl", 10), ("axolotl", 20), ("axolotl", 100), ("trainer", 10),
    ]  # fmt: skip


def test_the_judge_grades_by_length_and_against_a_reference() -> None:
    judge = registry.module("judges", "brevity").load("4")
    assert judge.grade("", "four words and then", "") == 0.5
    assert judge.grade("", "one", "one two three") == 0.75
    assert registry.module("judges", "brevity").load("0").grade("", "", "") is None


def test_the_format_is_read_scored_and_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    lines = [{"q": f"What is the capital of {c}?", "a": a} for c, a in (("France", "It is Paris."), ("Japan", "Kyoto"))]
    log.write_text("\n".join(map(json.dumps, lines)))
    code, _, err = skilldelta(
        capsys, "score", "--recorded", log, "--name", "server", "-t", "capitals", "-o", tmp_path / "results"
    )
    assert code == 0, err
    assert values(tmp_path / "results") == [1.0, 0.0]
    code, _, err = skilldelta(capsys, "export", tmp_path / "results", "--to", "chat-log", "-o", tmp_path / "out")
    assert code == 0, err
    answers = [json.loads(line) for line in (tmp_path / "out" / "answers.jsonl").read_text().splitlines()]
    assert answers == [{"task": "capitals", "a": "It is Paris."}, {"task": "capitals", "a": "Kyoto"}]


def test_the_tracker_has_each_skill_at_its_step(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ("base", "tuned"):
        store(tmp_path / "results", name, about("sums", "reasoning"), [sample(i, float(i % 2)) for i in range(20)])
    flags = ["--baseline", "base", "-o", tmp_path / "report", "--log-to", f"plain_lines:{tmp_path / 'lines'}"]
    code, _, err = skilldelta(capsys, "compare", tmp_path / "results", *flags)
    assert code == 0, err
    lines = [line for file in (tmp_path / "lines").glob("*.txt") for line in file.read_text().splitlines()]
    assert "0 skills/reasoning/score 50.0" in lines


@pytest.mark.slow
def test_the_trainer_averages_two_models(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from tests.support import tiny

    folders = [tiny.llama(tmp_path / name, template=True) for name in ("one", "two")]
    other = AutoModelForCausalLM.from_pretrained(folders[1])
    with torch.no_grad():
        other.lm_head.weight += 2.0
    other.save_pretrained(folders[1])
    flags = ["--models", ",".join(map(str, folders)), "--out", tmp_path / "soup"]
    code, _, err = skilldelta(capsys, "train", "soup", *flags)
    assert code == 0, err
    heads = [AutoModelForCausalLM.from_pretrained(f).lm_head.weight for f in (*folders, tmp_path / "soup")]
    assert torch.allclose((heads[0] + heads[1]) / 2, heads[2])
