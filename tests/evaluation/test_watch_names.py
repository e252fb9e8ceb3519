"""`watch` and `score` give one checkpoint one name, whatever lies beside it and whatever was scored before."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import discovery, fingerprint
from harness.evaluation.outcome import SilentProgress
from harness.evaluation.result_names import choose_names
from harness.evaluation.watch import LINK_FOLDER, Watch
from harness.store import Results
from harness.types import Checkpoint
from tests.checkpoints.test_discovery import adapter, model, run, weights


class Deaf(SilentProgress):
    def tell(self, text: str) -> None:
        pass


def write_model(folder: Path, kind: str, size: int) -> None:
    """A model at a place of a layout; its weights are of `size` numbers, so that two may be equal or differ."""
    if folder.exists():
        return
    if kind == "adapter":
        weights(adapter(folder) / "adapter_model.safetensors", size=4 * size)
    elif kind == "gguf":
        folder.mkdir(parents=True)
        weights(folder / "model.gguf", size=4 * size)
    elif kind == "steps":
        run(folder, (20, 100))
    else:
        weights(model(folder) / "model.safetensors", size=4 * size)


RUNS = ("dpo", "ppo", "a/run", "b/run", "seed_1/dpo", "seed_2/dpo", "out/checkpoints", "a-run")
PARTS = ("final_model", "best", "epoch_1/policy_lora", "step_100", "checkpoint-20", "final/huggingface", "final", "")
PLACES = st.tuples(
    st.sampled_from(RUNS), st.sampled_from(PARTS), st.sampled_from(("whole", "adapter", "steps", "gguf")), st.integers(1, 3)
)
LAYOUTS = st.lists(PLACES, min_size=1, max_size=6)


def store_scored(checkpoints: Sequence[Checkpoint], results: Results) -> None:
    """What `score` and `watch` store of a checkpoint whose questions are answered."""
    for checkpoint in checkpoints:
        if not checkpoint.problem:
            results.add(checkpoint, fingerprint.hash_checkpoint(checkpoint))


def names_to_score(paths: Sequence[str], results: Results) -> dict[str, str]:
    chosen = choose_names(discovery.find_checkpoints(paths), "", results)
    return {c.path: c.name for c in chosen if not c.problem}


def names_to_watch(paths: Sequence[str], results: Results) -> dict[str, str]:
    watching = Watch(paths, results.folder / LINK_FOLDER / "w", Deaf(), results=results)
    watching.look()
    assert all(copy.name == checkpoint.name for checkpoint, copy in watching.waiting)
    return {checkpoint.path: checkpoint.name for checkpoint, _ in watching.waiting}


def build(root: Path, layout: Sequence[tuple[str, str, str, int]]) -> list[str]:
    """The layout's folders, and the runs in them that a user may name."""
    for run_name, part, kind, size in layout:
        write_model(root / run_name / part, kind, size)
    return sorted({str(root / run_name) for run_name, *_ in layout})


@pytest.mark.slow
@patch("os.fsync", lambda file: None)  # nothing here is to outlive a power cut
@settings(max_examples=8, deadline=None)
@given(layout=LAYOUTS, first=st.integers(0, 5), names_folders=st.booleans())
def test_both_give_the_same_names_in_any_layout(
    layout: list[tuple[str, str, str, int]], first: int, names_folders: bool
) -> None:
    """One of the runs was scored into the folder before; then all are, by name or from the folder around them."""
    with TemporaryDirectory() as folder:
        root, results = Path(folder) / "runs", Results.make(Path(folder) / "results")
        runs = build(root, layout)
        before = runs[first % len(runs)]
        earlier = names_to_score([before], results)
        store_scored(choose_names(discovery.find_checkpoints([before]), "", results), results)
        paths = runs if names_folders else [str(root)]
        assert names_to_watch(paths, results) == names_to_score(paths, results)
        assert names_to_score([before], results) == earlier


@pytest.mark.slow
@patch("os.fsync", lambda file: None)
@settings(max_examples=4, deadline=None)
@given(layout=LAYOUTS)
def test_a_run_that_grows_keeps_the_names_that_its_checkpoints_have(layout: list[tuple[str, str, str, int]]) -> None:
    """A watch that is started again after each new model gives every checkpoint of before the same name."""
    with TemporaryDirectory() as folder:
        root, results = Path(folder) / "runs", Results.make(Path(folder) / "results")
        before: dict[str, str] = {}
        for count in range(1, len(layout) + 1):
            build(root, layout[:count])
            names = names_to_watch([str(root)], results)
            assert len(set(names.values())) == len(names)
            present = {c.path: c for c in discovery.find_checkpoints([str(root)])}
            store_scored([replace(present[path], name=name) for path, name in names.items()], results)
            assert {path: names[path] for path in before if path in names} == {
                path: name for path, name in before.items() if path in names
            }
            before = names
