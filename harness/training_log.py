"""The curves that a run's trainer logged (reward, KL, loss, length ...), under the same names for every trainer.

Trainer, TRL and the trainers here keep it in trainer_state.json, as `log_history`; others in the logs that run_logs/ reads.  A
small copy is stored with the results when a checkpoint is scored, so that its curves can be shown when the checkpoint is gone.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.atomic_files import folder_name, write_json
from harness.bounded_files import is_folder, read_json
from harness.folder_entries import find_entries
from harness.records import CheckpointRecord
from harness.run_logs.find import read_run_logs
from harness.typed_fields import MAX_COUNT, check_fields
from harness.types import Checkpoint, Json, SkilldeltaError
from harness.visible_text import show_value

if TYPE_CHECKING:
    from harness.store import Results

STATE = "trainer_state.json"
FILE = "training.json"  # in a checkpoint's folder of the results
MAX_POINTS = 200  # points of a stored curve
MAX_NUMBER = 1e300  # of what is logged: sums stay finite
MAX_CARD = 1_000_000  # bytes of a model card, or of a file of settings
# No log names its method; the names of its metrics do (TRL 0.7 to 1.16, verl, OpenRLHF, others).  The first that fits counts.
SIGNS = (
    ("log_odds_ratio", "orpo"), ("rewards/chosen + kl", "kto"), ("rewards/chosen + objective/kl", "online-dpo"),
    ("rewards/chosen", "dpo"), ("rewards/margins", "dpo"), ("objective/kl", "ppo"), ("ppo/mean_non_score_reward", "ppo"),
    ("rewards/accuracies", "dpo"), ("frac_reward_zero_std", "grpo"), ("mean_reward", "reward"), ("critic/vf_loss", "ppo"),
    ("actor/pg_loss", "grpo"), ("policy_loss + value_loss", "ppo"), ("policy_loss + critic_loss", "ppo"),
    ("reward_std", "grpo"), ("policy_loss + kl", "ppo"), ("policy_loss + reward", "ppo"), ("acc_mean + loss_mean", "reward"),
    ("chosen_reward", "reward"),
    ("mean_token_accuracy", "sft"), ("reward + loss", "ppo"),
)  # fmt: skip
SETTINGS = (  # files of a run that name its method: the trainers' here, LLaMA-Factory's, ms-swift's, axolotl's
    ("run.json", "method"), ("training_args.yaml", "stage"), ("llamaboard_config.yaml", "top.stage"),
    ("args.json", "rlhf_type"), ("axolotl_config.yaml", "rl"),
)  # fmt: skip
STAGES = {"rm": "reward", "pt": "pretrain"}  # LLaMA-Factory's names
TAGS = ("dpo", "ppo", "sft", "grpo", "rloo", "kto", "orpo", "online-dpo", "reward-trainer")

# The keys of each quantity, of which the first in a log counts (transformers, TRL 0.12 to 1.16, the trainers here, OpenRLHF,
# verl, open-instruct, LLaMA-Factory, hand-written trainers).  A prefix "train/" is left out.
KEYS: dict[str, tuple[str, ...]] = {
    "reward": (
        "objective/scores", "reward", "objective/rlhf_reward", "critic/rewards/mean", "critic/score/mean", "rewards/mean",
        "env/reward_mean", "mean_reward", "scores", "reward_mean",
    ),
    "reward margin": ("rewards/margins", "reward_margin", "margin"),
    "KL": ("objective/kl", "kl", "actor/kl_loss", "critic/kl", "kl_div", "kl_loss", "mean_kl", "kl_mean"),
    "length": (
        "val/length", "completions/mean_length", "completion_length", "response_length/mean", "response_length",
        "val/sequence_lengths",
    ),
    "loss": ("loss", "loss/policy_avg", "train/loss", "actor/pg_loss", "policy_loss", "pg_loss", "act_loss", "total_loss"),
    "entropy": ("policy/entropy_avg", "entropy", "actor/entropy", "actor/entropy_loss", "entropy_loss", "policy_entropy"),
}  # fmt: skip
# What training had cost up to a step: for PPO here, with what its reward model cost.
COSTS: dict[str, tuple[str, ...]] = {
    "FLOPs": ("total_flos_with_reward_model", "total_flos"),
    "seconds": ("seconds_with_reward_model", "seconds", "train_runtime"),
}


@dataclass(frozen=True)
class Curve:
    """One quantity over a run.  `key`: what its trainer calls it; `steps` ascend."""

    key: str
    steps: tuple[int, ...]
    values: tuple[float, ...]

    def at(self, step: int) -> float | None:
        """The last value logged up to `step`; None where nothing was yet."""
        place = bisect_right(self.steps, step)
        return self.values[place - 1] if place else None


Curves = Mapping[str, Curve]  # by quantity


def parse_curves(history: Sequence[Json]) -> dict[str, Curve]:
    """The quantities in a `log_history`, each thinned to MAX_POINTS points."""
    curves_by_quantity = {}
    for quantity, keys in (KEYS | COSTS).items():
        key = next((k for k in keys if any(is_number(entry.get(k)) for entry in history)), None)
        entries = [e for e in history if is_number(e.get(key)) and is_number(e.get("step"))] if key else []
        if key and (points := {int(entry["step"]): float(entry[key]) for entry in entries}):
            curves_by_quantity[quantity] = thin_curve(key, points)
    return curves_by_quantity


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -MAX_NUMBER < value < MAX_NUMBER


def thin_curve(key: str, points: Mapping[int, float]) -> Curve:
    """Points by step, evenly thinned; the first and the last stay."""
    steps = sorted(points)
    if len(steps) > MAX_POINTS:
        steps = [steps[round(i * (len(steps) - 1) / (MAX_POINTS - 1))] for i in range(MAX_POINTS)]
    return Curve(key, tuple(steps), tuple(float(f"{points[s]:.6g}") for s in steps))


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The log in a folder, one mapping a logged step: trainer_state.json's, else that of the other logs there; [] for none."""
    return read_state(folder) or [plain_keys(entry) for entry in read_run_logs(folder)]


def plain_keys(entry: Json) -> dict[str, Any]:
    """An entry with the names of its metrics as the trainer has them: trackers put "train/" before them."""
    return {key.removeprefix("train/"): value for key, value in entry.items()}


def read_state(folder: Path) -> list[dict[str, Any]]:
    """The log in a folder's trainer_state.json; [] where it is missing or unreadable."""
    try:
        state = read_json(folder / STATE)
    except ValueError:
        return []
    log = state.get("log_history", [])
    entries = [entry for entry in log if isinstance(entry, dict)] if isinstance(log, list) else []
    # transformers' Trainer has them next to its log, not in it.
    step, flops = state.get("global_step"), state.get("total_flos", 0)
    if entries and isinstance(step, int) and is_number(flops) and flops > 0 and not any("total_flos" in e for e in entries):
        entries.append({"step": step, "total_flos": flops})
    return entries


def find_method(folder: Path) -> str:
    """The method of a run: from run.json, its log's metric names, its arguments or its model card; "" if unknown."""
    for file, key in SETTINGS:
        if (method := read_setting(folder / file, key)) and method != "null":
            return STAGES.get(method, method)
    keys = {metric.removeprefix("eval_") for entry in read_history(folder) for metric in entry}
    if method := next((name for signs, name in SIGNS if all(sign in keys for sign in signs.split(" + "))), ""):
        return method
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() and card.stat().st_size < MAX_CARD else ""
    tags = re.findall(r"^- ([a-z-]+)$", text, re.MULTILINE)
    return next((tag.removesuffix("-trainer") for tag in TAGS if tag in tags), "")


def read_setting(file: Path, key: str) -> str:
    """A setting in a JSON or YAML file of a run; "" where there is none that can be read."""
    if not file.is_file() or file.stat().st_size > MAX_CARD:
        return ""
    text = file.read_text(encoding="utf-8", errors="replace")
    match = re.search(rf"^\s*\"?{re.escape(key)}\"?\s*:\s*\"?([\w-]+)\"?,?\s*$", text, re.MULTILINE)
    return match.group(1) if match else ""


def run_history(path: str, run: str) -> list[dict[str, Any]]:
    """The log of the checkpoint at `path`, else of its run: of its last checkpoint, or beside the folder of its checkpoints.

    An adapter may lie in a folder of its own inside its step's, which has the log.
    """
    if not path or not is_folder(path):
        return []
    steps = [folder for folder in Path(path).parents if run and Path(run) in folder.parents]
    if entries := next((entries for folder in (Path(path), *steps) if (entries := read_history(folder))), []):
        return entries
    places = [Path(run), Path(run) / "checkpoints"] if run and is_folder(run) else []
    checkpoints = [
        c for place in places if path == run or place.name == "checkpoints" for c in find_entries(place, "checkpoint-*")
    ]
    with_state = [p for p in checkpoints if p.name.rpartition("-")[2].isdigit() and (p / STATE).is_file()]
    if latest := max(with_state, key=lambda p: int(p.name.rpartition("-")[2]), default=None):
        return read_history(latest)
    return next((entries for place in places[:1] if (entries := read_history(place))), [])


def read_curves(path: str, run: str, step: int | None = None) -> dict[str, Curve]:
    """The curves up to the checkpoint at `path`, or of its run up to `step`."""
    history = run_history(path, run)
    return parse_curves([e for e in history if step is None or not is_number(e.get("step")) or e["step"] <= step])


def store_curves(results: Results, checkpoint: Checkpoint) -> None:
    """Stores a checkpoint's curves with its results, where it has any and they are not there already."""
    target = results.folder / folder_name(checkpoint.name) / FILE
    if not target.exists() and (curves_by_quantity := read_curves(checkpoint.path, checkpoint.run, checkpoint.step)):
        write_json(target, {quantity: asdict(curve) for quantity, curve in curves_by_quantity.items()})


def stored_curves(record: CheckpointRecord) -> dict[str, Curve]:
    """A scored checkpoint's curves: as stored with its results, else from the folder where it was when it was scored."""
    path = Path(record.results) / folder_name(record.name) / FILE
    if not path.is_file():
        return read_curves(record.path, record.run, record.step)
    content = read_json(path)
    try:
        return {quantity: read_curve(curve) for quantity, curve in content.items()}
    except SkilldeltaError as error:
        raise SkilldeltaError(f"{path}: {error}") from error


def read_curve(content: Any) -> Curve:
    """A curve from its JSON.  SkilldeltaError where it is none."""
    names = {each.name for each in fields(Curve)}
    if not isinstance(content, dict) or content.keys() != names:
        raise SkilldeltaError(f"a curve has {', '.join(sorted(names))}, and here is {show_value(content, 80)}.")
    curve = Curve(**check_fields(Curve, content))
    if not 0 < len(curve.steps) == len(curve.values):
        raise SkilldeltaError(f"a curve has {len(curve.steps)} steps and {len(curve.values)} values.")
    if not all(map(is_number, curve.values)) or list(curve.steps) != sorted(set(curve.steps)):
        raise SkilldeltaError("a curve has steps that do not ascend, or values that are no numbers.")
    if max(map(abs, curve.steps)) > MAX_COUNT:
        raise SkilldeltaError(f"a curve has steps beyond {MAX_COUNT:,}.")
    return curve
