"""Logs as trackers write them: read without the trackers, and as far as they are whole."""

import json
import os
import sqlite3
import struct
from pathlib import Path

import pytest

from harness.records import CheckpointRecord
from harness.run_logs import tables, tensorboard, wandb
from harness.run_logs.find import read_run_logs
from harness.training_log import find_method, parse_curves, read_curves, read_history, stored_curves
from harness.types import SkilldeltaError


def varint(number: int) -> bytes:
    parts = []
    while True:
        number, low = number >> 7, number & 0x7F
        parts.append(low | (0x80 if number else 0))
        if not number:
            return bytes(parts)


def message(*fields: tuple[int, int | float | bytes]) -> bytes:
    """A Protocol Buffers message of (number, value): whole numbers, float32 and bytes."""
    parts = []
    for number, value in fields:
        if isinstance(value, bytes):
            parts.append(varint(number << 3 | 2) + varint(len(value)) + value)
        elif isinstance(value, float):
            parts.append(varint(number << 3 | 5) + struct.pack("<f", value))
        else:
            parts.append(varint(number << 3) + varint(value))
    return b"".join(parts)


def write_events(file: Path, scalars: list[tuple[int, str, float]]) -> None:
    """A file as TensorBoard's writers make it; the second half of the scalars as tensors, as newer ones do."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        for place, (step, tag, value) in enumerate(scalars):
            is_tensor = place >= len(scalars) // 2
            entry = (8, message((1, 1), (5, struct.pack("<f", value)))) if is_tensor else (2, value)
            event = message((2, step), (5, message((1, message((1, tag.encode()), entry)))))
            stream.write(struct.pack("<Q", len(event)) + bytes(4) + event + bytes(4))


def write_wandb(file: Path, entries: list[dict[str, object]]) -> None:
    """A W&B file: LevelDB's log in blocks of 32 KiB, records that do not fit are split."""
    data = bytearray(b":W&B" + bytes(3))
    for step, entry in enumerate(entries):
        items = [(1, message((1, key.encode()), (16, json.dumps(value).encode()))) for key, value in entry.items()]
        record = message((2, message(*items, (2, message((1, step))))))
        first = True
        while record or first:
            room = 32768 - len(data) % 32768
            if room < 7:
                data += bytes(room)
                continue
            part, record = record[: room - 7], record[room - 7 :]
            kind = (1 if first else 4) if not record else (2 if first else 3)
            data += bytes(4) + struct.pack("<HB", len(part), kind) + part
            first = False
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def test_tensorboards_scalars_are_read_by_step(tmp_path: Path) -> None:
    file = tmp_path / "runs" / "Nov27_host" / "events.out.tfevents.1.host.1.0"
    write_events(file, [(10, "train/reward", 0.5), (10, "train/kl", 0.25), (20, "train/reward", 1.5), (20, "train/kl", 0.75)])
    assert tensorboard.read_events(file)[0] == {"step": 10, "train/reward": 0.5, "train/kl": 0.25}
    curves = parse_curves(read_history(tmp_path))
    assert (curves["reward"].steps, curves["reward"].values) == ((10, 20), (0.5, 1.5))
    assert curves["KL"].values == (0.25, 0.75)


@pytest.mark.parametrize("cut", [1, 5, 30, 60])
def test_a_torn_event_file_is_read_as_far_as_it_is_whole(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "events.out.tfevents.1"
    write_events(file, [(1, "a", 1.0), (2, "a", 2.0), (3, "a", 3.0)])
    file.write_bytes(file.read_bytes()[:-cut])
    assert tensorboard.read_events(file) == [{"step": 1, "a": 1.0}, {"step": 2, "a": 2.0}][: 2 if cut < 60 else 1]
    file.write_bytes(struct.pack("<Q", 1 << 60) + bytes(40))
    assert tensorboard.read_events(file) == []


def test_wandbs_history_is_read_across_its_blocks(tmp_path: Path) -> None:
    entries = [{"train/global_step": 5 * i, "train/loss": 1 / i, "text": "x" * 5000} for i in range(1, 40)]
    file = tmp_path / "wandb" / "offline-run-20261127_120000-abc" / "run-abc.wandb"
    write_wandb(file, entries)
    history = wandb.read_history_records(file)
    assert [entry["step"] for entry in history] == [5 * i for i in range(1, 40)]
    assert history[6]["train/loss"] == 1 / 7
    assert parse_curves(read_history(tmp_path))["loss"].steps[-1] == 195
    file.write_bytes(file.read_bytes()[:100_000])
    assert 0 < len(wandb.read_history_records(file)) < 39


def test_trackios_database_is_read(tmp_path: Path) -> None:
    (tmp_path / "trackio").mkdir()
    with sqlite3.connect(tmp_path / "trackio" / "project.db") as base:
        base.execute("create table metrics (id integer primary key, timestamp text, run_name text, step integer, metrics text)")
        rows = [("t", "old", 1, '{"loss": 9}'), ("t", "new", 3, '{"loss": 2.5}')]
        base.executemany("insert into metrics (timestamp, run_name, step, metrics) values (?, ?, ?, ?)", rows)
    assert read_run_logs(tmp_path) == [{"loss": 2.5, "step": 3}]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("training_history.json", '[{"loss": 2.0, "step": 4}, {"loss": 1.0, "step": 8}]'),
        ("history.json", '{"loss": [2.0, 1.0], "step": [4, 8]}'),
        ("metrics.jsonl", '{"step": 4, "data": {"loss": 2.0}}\n{"step": 8, "data": {"loss": 1.0}}\n{"torn'),
        ("trainer_log.jsonl", '{"current_steps": 4, "loss": 2.0}\n{"current_steps": 8, "loss": 1.0}\n'),
        ("logging.jsonl", '{"global_step/max_steps": "4/8", "loss": 2.0}\n{"global_step/max_steps": "8/8", "loss": 1.0}'),
        ("progress.csv", "step,loss,note\n4,2.0,x\n8,1.0,\n"),
    ],
)
def test_histories_in_files_are_read(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / name).write_text(text)
    curve = parse_curves(read_history(tmp_path))["loss"]
    assert (curve.steps, curve.values) == ((4, 8), (2.0, 1.0))


@pytest.mark.parametrize("text", ["[" * 100_000, "5", '{"loss": "x"}', "\x00\xff", "[1, null]"])
def test_a_log_that_is_none_is_no_obstacle(tmp_path: Path, text: str) -> None:
    for name in ("history.json", "metrics.jsonl", "metrics.csv", "events.out.tfevents.1", "run-a.wandb", "metrics.db"):
        (tmp_path / name).write_text(text)
    assert not parse_curves(read_history(tmp_path))
    assert find_method(tmp_path) == ""


@pytest.mark.parametrize(
    ("keys", "method"),
    [
        (("rewards/chosen", "loss"), "dpo"),
        (("eval_rewards/margins",), "dpo"),
        (("rewards/chosen", "log_odds_ratio", "nll_loss"), "orpo"),
        (("rewards/chosen", "rewards/margins", "kl"), "kto"),
        (("rewards/chosen", "objective/kl"), "online-dpo"),
        (("objective/kl",), "ppo"),
        (("actor/pg_loss", "critic/vf_loss"), "ppo"),
        (("actor/pg_loss",), "grpo"),
        (("policy_loss", "value_loss", "kl_div"), "ppo"),
        (("reward", "reward_std", "kl"), "grpo"),
        (("acc_mean", "loss_mean"), "reward"),
        (("loss", "mean_token_accuracy"), "sft"),
        (("loss", "grad_norm"), ""),
    ],
)
def test_a_method_is_known_by_its_metrics(tmp_path: Path, keys: tuple[str, ...], method: str) -> None:
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 1} | dict.fromkeys(keys, 0.5)))
    assert find_method(tmp_path) == method


@pytest.mark.parametrize(
    ("name", "text", "method"),
    [
        ("args.json", '{\n  "rlhf_type": "kto",\n  "beta": 0.1\n}', "kto"),
        ("args.json", '{\n  "rlhf_type": null,\n  "beta": 0.1\n}', ""),
        ("axolotl_config.yaml", "base_model: x\nrl: orpo\n", "orpo"),
        ("training_args.yaml", "stage: rm\n", "reward"),
    ],
)
def test_a_method_is_read_from_the_runs_settings(tmp_path: Path, name: str, text: str, method: str) -> None:
    (tmp_path / name).write_text(text)
    assert find_method(tmp_path) == method


def test_a_runs_log_counts_up_to_a_checkpoints_step(tmp_path: Path) -> None:
    lines = [json.dumps({"step": step, "reward": step / 10}) for step in (10, 20, 30)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    (tmp_path / "global_step_20").mkdir()
    curve = read_curves(str(tmp_path / "global_step_20"), str(tmp_path), 20)["reward"]
    assert curve.steps == (10, 20)


def test_entries_without_a_step_are_numbered() -> None:
    assert [entry["step"] for entry in tables.number_steps([{"a": 1}, {"a": 2}, {"global_step": 7}])] == [1, 2, 7]


@pytest.mark.slow
def test_a_log_that_only_seems_long_ends_at_once(tmp_path: Path) -> None:
    """A few bytes, or none, that stand for terabytes: holes in files, columns and headers without rows."""
    events, history = tmp_path / "events.out.tfevents.1", tmp_path / "run-a.wandb"
    write_events(events, [(1, "loss", 1.0), (2, "loss", 2.0)])
    write_wandb(history, [{"loss": 3.0}])
    for file in (events, history):
        os.truncate(file, 1 << 29)
    assert [entry["step"] for entry in tensorboard.read_events(events)] == [1, 2]
    assert wandb.read_history_records(history) == [{"loss": 3.0, "step": 0}]
    for file, read in ((events, tensorboard.read_events), (history, wandb.read_history_records)):
        os.truncate(file, 1 << 40)
        with pytest.raises(ValueError, match="more than"):
            read(file)
    (tmp_path / "metrics.json").write_text(json.dumps({f"c{i}": [] for i in range(20_000)} | {"loss": [1.0] * 200_000}))
    assert len(tables.read_json_history(tmp_path / "metrics.json")) == 200_000
    (tmp_path / "metrics.csv").write_text("step," + "c," * 200_000 + "\n" + "7\n" * 200_000)
    assert tables.read_csv(tmp_path / "metrics.csv")[-1] == {"step": 7}


@pytest.mark.slow
@pytest.mark.parametrize(
    "rows",
    [
        "with recursive c(i) as (select 1 union all select i + 1 from c) select i, 'r', i, '{}' from c where i < 0",
        "with recursive c(i) as (select 1 union all select i + 1 from c) select i, 'r', i, '{}' from c",
        "select 1, 'r', 1, hex(zeroblob(400000000))",
    ],
    ids=["searches without end", "rows without end", "a value of a gigabyte"],
)
def test_a_database_that_computes_its_rows_is_left_alone(tmp_path: Path, rows: str) -> None:
    with sqlite3.connect(tmp_path / "metrics.db") as base:
        base.execute(f"create view metrics(id, run_name, step, metrics) as {rows}")
    with pytest.raises((sqlite3.Error, ValueError)):
        tables.read_trackio(tmp_path / "metrics.db")
    assert read_run_logs(tmp_path) == []


@pytest.mark.parametrize("step", ["seven", None, [1], {}, float("nan"), float("inf"), True])
@pytest.mark.parametrize("loss", [10**400, 1.0])
def test_entries_whose_numbers_are_none_give_no_points(tmp_path: Path, step: object, loss: float) -> None:
    entries = [{"step": step, "loss": loss}, {"step": 5, "loss": 2.0}]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": entries}))
    assert parse_curves(read_history(tmp_path))["loss"].values == (2.0,)


@pytest.mark.parametrize(
    "curve",
    [
        {"key": "loss", "steps": [], "values": []},
        {"key": "loss", "steps": [1, 2], "values": [1.0]},
        {"key": "loss", "steps": [2, 1], "values": [1.0, 2.0]},
        {"key": "loss", "steps": [1], "values": [float("nan")]},
        {"key": "loss", "steps": [10**40], "values": [1.0]},
        {"key": "loss", "steps": ["a"], "values": [1.0]},
        {"steps": [1], "values": [1.0]},
        5,
    ],
)
def test_a_stored_curve_that_is_none_is_an_error_of_its_file(tmp_path: Path, curve: object) -> None:
    record = CheckpointRecord(name="cand", results=str(tmp_path))
    file = tmp_path / "cand" / "training.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"loss": {"key": "loss", "steps": [1, 2], "values": [2, 1.5]}}))
    assert stored_curves(record)["loss"].values == (2.0, 1.5)
    file.write_text(json.dumps({"loss": curve}))
    with pytest.raises(SkilldeltaError, match=r"training\.json: "):
        stored_curves(record)
