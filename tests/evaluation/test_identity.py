"""What was asked otherwise is never taken for done; what was asked the same is never asked twice."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness import api, differences, fingerprint
from harness.evaluation.outcome import Outcome
from harness.evaluation.questions import EvaluationSettings
from harness.store import Results
from tests.loading.folders import change_config, save_lora
from tests.support import tiny, toys

TASK = toys.adding(3)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny.llama(tmp_path / "base", template=True)


def score(folder: Path, results: Path, settings: EvaluationSettings = EvaluationSettings(), **options: object) -> Outcome:
    short = replace(settings, overrides={"max_tokens": 4})
    backend = api.Backend(options={"device": "cpu", **options})
    (outcome,) = api.score([str(folder)], [TASK], results, backend=backend, settings=short)
    return outcome


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "value", "difference"),
    [
        ("chat_template", "none", "backend.template: stored"),
        ("dtype", "bfloat16", 'backend.dtype: stored "float32", now "bfloat16"'),
        ("max_length", 100, "backend.window: stored 256, now 100"),
        ("engine", "plain", 'engine: stored "tree", now "plain"'),
    ],
)
def test_a_finished_cell_counts_only_where_its_settings_agree(
    base: Path, tmp_path: Path, option: str, value: object, difference: str
) -> None:
    assert score(base, tmp_path / "results").state == "done"
    other = score(base, tmp_path / "results", **{option: value})
    assert other.state == "failed"
    assert difference in other.why
    assert "--ask-again" in other.why
    assert score(base, tmp_path / "results").state == "already"
    again = score(base, tmp_path / "results", EvaluationSettings(ask_again=True), **{option: value})
    assert again.state == "done"
    back = score(base, tmp_path / "results")
    assert back.state == "failed", "the flag was left out, and the stored answers are the flag's"
    assert score(base, tmp_path / "results", EvaluationSettings(ask_again=True), **{option: value}).state == "already"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "value"), [("dtype", "float32"), ("max_length", 256), ("batch_size", 3), ("engine", "tree")]
)
def test_a_flag_that_changes_nothing_is_no_difference(base: Path, tmp_path: Path, option: str, value: object) -> None:
    score(base, tmp_path / "results")
    assert score(base, tmp_path / "results", **{option: value}).state == "already"


@pytest.mark.slow
def test_older_results_know_less_and_are_taken_as_far_as_they_know(base: Path, tmp_path: Path) -> None:
    score(base, tmp_path / "results")
    for file in (tmp_path / "results" / "base").rglob("*.json"):
        content = json.loads(file.read_text())
        content.pop("requested", None)
        if "fingerprint" in content:
            content["fingerprint"] = {k: v for k, v in content["fingerprint"].items() if k not in differences.LATER}
        file.write_text(json.dumps(content))
    assert score(base, tmp_path / "results").state == "already"
    assert score(base, tmp_path / "results", dtype="bfloat16").state == "failed"


@pytest.mark.slow
def test_the_same_checkpoint_under_another_name_or_in_another_folder_is_not_asked_again(base: Path, tmp_path: Path) -> None:
    score(base, tmp_path / "results")
    copied = Path(shutil.copytree(base, tmp_path / "copy"))
    outcome = score(copied, tmp_path / "results")
    assert (outcome.state, outcome.why) == ("already", f"taken from base in {tmp_path / 'results'}")
    assert score(copied, tmp_path / "fresh", EvaluationSettings(reuse=(tmp_path / "results",))).state == "already"
    both = [list(Results(tmp_path / "results").cell(name, TASK.name).samples()) for name in ("base", "copy")]
    assert both[0] == both[1]
    assert score(copied, tmp_path / "own").state == "done", "a folder that nobody named is not looked into"


@pytest.mark.slow
@pytest.mark.parametrize("file", ["generation_config.json", "special_tokens_map.json", "modeling_own.py", "config.json"])
def test_every_file_that_moves_an_answer_is_part_of_the_identity(base: Path, tmp_path: Path, file: str) -> None:
    score(base, tmp_path / "results")
    path = base / file
    content = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(content | {"eos_token_id": [1, 3]}))
    outcome = score(base, tmp_path / "results")
    assert outcome.state == "failed"
    assert "fingerprint." in outcome.why


def test_an_adapter_is_another_one_where_its_base_or_its_bases_tokenizer_is(base: Path, tmp_path: Path) -> None:
    from harness import discovery

    adapter = save_lora(base, tmp_path / "lora")

    def hashes() -> dict[str, str]:
        (checkpoint,) = discovery.find_checkpoints([str(adapter)])
        return fingerprint.hash_checkpoint(checkpoint)

    first = hashes()
    change_config(base, "tokenizer_config.json", chat_template="{{ messages }}")
    second = hashes()
    assert {name for name, *_ in differences.changed_parts(first, second)} == {"tokenizer_used"}
    tiny.llama(base, seed=1, template=True)
    assert "weights" in {name for name, *_ in differences.changed_parts(second, hashes())}
