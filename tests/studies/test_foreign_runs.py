"""Runs of other programs in a study: which stored result is whose."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import discovery
from harness.store import Results
from harness.studies import record
from harness.types import SkilldeltaError
from tests.checkpoints.test_discovery import model


def plan_of(runs: dict[str, Path]) -> Any:
    """A plan of runs that lie elsewhere."""
    entries = [SimpleNamespace(name=name, run=str(path)) for name, path in runs.items()]
    return SimpleNamespace(runs=entries, run_folder=lambda name, _: str(runs[name]))


def test_folders_of_one_name_are_found_by_their_paths(tmp_path: Path) -> None:
    """Scored together they get longer names than each has alone."""
    runs = {name: model(tmp_path / "theirs" / name / "final_model") for name in ("dpo", "ppo")}
    results = Results.make(tmp_path / "study" / record.RESULTS)
    for checkpoint in discovery.find_checkpoints([str(path) for path in runs.values()]):
        results.add(checkpoint, {})
    names = [record.policy_facts(tmp_path / "study", n, plan_of(runs), {}, 0)["checkpoint"] for n in runs]
    assert names == ["dpo-final_model", "ppo-final_model"]


def test_a_run_without_a_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    results = Results.make(tmp_path / "study" / record.RESULTS)
    (known,) = discovery.find_checkpoints([str(model(tmp_path / "known"))])
    results.add(known, {})
    with pytest.raises(SkilldeltaError, match=r"theirs has no checkpoint in .*results; there are: known"):
        record.policy_facts(tmp_path / "study", "theirs", plan_of({"theirs": model(tmp_path / "theirs")}), {}, 0)
