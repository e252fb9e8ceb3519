"""A run that goes on from damaged files: it is refused by their name, or goes on from what is whole; never does it learn on."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.trainers import sft
from harness.training import policy_models
from harness.training.optimizer import ScheduledOptimizer
from harness.training.saved_state import naming_damage
from harness.training.training_run import TrainerRun
from harness.types import SkilldeltaError
from tests.support.damage import FILES, damage_fields
from tests.support.training_toy import chat

STATES = ("optimizer.pt", "scheduler.pt", "rng_state.pth")
SAME = {"other line ends", "twice"}  # of some files: their content is the same
Change = Callable[[Any], object]  # in place, or what it returns


def write_chats(folder: Path) -> Path:
    """The same rows for all runs: a run that goes on has the same data."""
    (folder / "chats.jsonl").write_text("".join(json.dumps(chat(i)) + "\n" for i in range(16)))
    return folder / "chats.jsonl"


def config(tiny: str, folder: Path, **more: Any) -> sft.SFTConfig:
    data = str(write_chats(Path(tiny).parent))
    settings: dict[str, Any] = {"model": tiny, "data": (data,), "out": str(folder), "lr": 3e-3, "batch": 4, "max_steps": 3}
    return sft.SFTConfig(**(settings | {"save_steps": 1, "holdout": 0.2, "eval_steps": 1} | more))


@pytest.fixture(scope="module")
def broken_off(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that ended after the second of its three steps."""
    folder = tmp_path_factory.mktemp("broken-off") / "run"
    sft.train(config(tiny, folder))
    shutil.rmtree(folder / "checkpoint-3")
    told = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(told | {"status": "running"}))
    return folder


@pytest.fixture(scope="module")
def policy(tiny: str, broken_off: Path) -> nn.Module:
    return policy_models.trainable_policy(config(tiny, broken_off))


@pytest.fixture
def run(broken_off: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    shutil.copytree(broken_off, tmp_path / "run", copy_function=os.link)
    for file in [*(tmp_path / "run").rglob("*.json"), *(tmp_path / "run").rglob("*.pt*")]:
        content = file.read_bytes()  # a link would damage the good one
        file.unlink()
        file.write_bytes(content)
    return tmp_path / "run"


def take_over(tiny: str, run: Path) -> tuple[TrainerRun, Path | None]:
    """The run that goes on, and its checkpoint; its log and its record are written as in training."""
    training = TrainerRun("sft", config(tiny, run), total=3, steps_per_epoch=4)
    checkpoint = training.find_checkpoint()
    if training.is_complete:
        training.final_checkpoint()
        return training, checkpoint
    training.begin(data=json.loads((run / "run.json").read_text())["data"])
    training.costs.flops += 1
    with training.costs.phase("update"):
        training.log(3, {"loss": 1.0} | training.cost_numbers())
    training.is_best(3, -100.0)
    json.dumps(training.trainer_state(3, training.total_costs()))
    return training, checkpoint


def go_on(tiny: str, run: Path, policy: nn.Module) -> int:
    """The step from which a run goes on."""
    training, checkpoint = take_over(tiny, run)
    optimizer = ScheduledOptimizer(policy.parameters(), training.config, training.total)
    return training.restore(checkpoint, {"optimizer": optimizer})


@pytest.mark.slow
def test_without_damage_it_goes_on(tiny: str, run: Path, policy: nn.Module) -> None:
    assert go_on(tiny, run, policy) == 3


@pytest.mark.parametrize("name", STATES)
def test_a_state_that_is_no_whole_file_is_refused_by_its_name(name: str, tiny: str, run: Path, policy: nn.Module) -> None:
    """Also a pipe, for which reading would wait for ever."""
    content = (run / "checkpoint-2" / name).read_bytes()
    for damage in FILES.keys() - SAME:
        file = run / "checkpoint-2" / name
        FILES[damage](file)
        with pytest.raises(SkilldeltaError, match=rf"checkpoint-2 cannot be continued: {name}(.|\n)*Remove it"):
            go_on(tiny, run, policy)
        shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)
        file.write_bytes(content)
    shutil.rmtree(run / "checkpoint-2")
    assert go_on(tiny, run, policy) == 2, "the way out that it names"


def moments(**values: Any) -> Change:
    """Other moments of the first weight."""
    return lambda state: state["state"][0].update(values)


def group(**values: Any) -> Change:
    return lambda state: state["param_groups"][0].update(values)


UNFIT: dict[str, tuple[str, Change]] = {
    "moments of another shape, which end the process": ("optimizer.pt", moments(exp_avg=torch.zeros(3))),
    "moments that are one number": ("optimizer.pt", moments(exp_avg=torch.tensor(0.0))),
    "moments that are no numbers": ("optimizer.pt", lambda s: s["state"][0]["exp_avg"].fill_(torch.nan) is None),
    "half of the moments": ("optimizer.pt", lambda s: s["state"][0].pop("exp_avg") is None),
    "moments of one weight too many": ("optimizer.pt", lambda s: s["state"].update({999: s["state"][0]})),
    "moments of a weight before the first": ("optimizer.pt", lambda s: s["state"].update({-1: s["state"][0]})),
    "another number of weights": ("optimizer.pt", group(params=[0])),
    "no group of weights": ("optimizer.pt", lambda s: s.update(param_groups=[])),
    "another decay": ("optimizer.pt", group(weight_decay=1e9)),
    "a list": ("optimizer.pt", lambda _: [1]),
    "a tensor": ("optimizer.pt", lambda _: torch.zeros(2)),
    "another step": ("scheduler.pt", lambda s: s.update(last_epoch=1)),
    "step 10^30": ("scheduler.pt", lambda s: s.update(last_epoch=10**30)),
    "a step of text": ("scheduler.pt", lambda s: s.update(last_epoch="x")),
    "no step": ("scheduler.pt", lambda _: {"x": 1}),
    "few random numbers": ("rng_state.pth", lambda s: s.update(cpu=torch.zeros(3, dtype=torch.uint8))),
    "random numbers of another type": ("rng_state.pth", lambda s: s.update(cpu=torch.zeros(5056))),
    "no random numbers": ("rng_state.pth", lambda _: {"x": 1}),
}


@pytest.mark.parametrize("what", UNFIT)
def test_a_state_of_other_weights_or_of_another_step_is_refused(what: str, tiny: str, run: Path, policy: nn.Module) -> None:
    name, change = UNFIT[what]
    file = run / "checkpoint-2" / name
    state = torch.load(file, weights_only=True)
    changed = change(state)
    torch.save(state if changed is None or isinstance(changed, bool) else changed, file)
    with pytest.raises(SkilldeltaError, match="checkpoint-2 cannot be continued"):
        go_on(tiny, run, policy)


@pytest.mark.parametrize("rate", [float("nan"), 1e9, "x", None])
def test_the_learning_rate_is_that_of_the_schedule_whatever_a_file_says(
    rate: Any, tiny: str, run: Path, policy: nn.Module
) -> None:
    """A step is made with it before the schedule sets the next one."""
    file = run / "checkpoint-2" / "optimizer.pt"
    state = torch.load(file, weights_only=True)
    saved = state["param_groups"][0]["lr"]
    state["param_groups"][0]["lr"] = rate
    torch.save(state, file)
    training, checkpoint = take_over(tiny, run)
    optimizer = ScheduledOptimizer(policy.parameters(), training.config, training.total)
    training.restore(checkpoint, {"optimizer": optimizer})
    assert optimizer.lr == optimizer.optimizer.param_groups[0]["lr"] == saved


READ = ("whole", "status", "data", "config:", "config.lr:", "log_history", "best_", "global_step", "stateful_callbacks")


def damaged_records(run: Path) -> Iterator[tuple[str, Path, bytes]]:
    """Every field of the records that is read, with every odd value; of the settings, which are compared alike, one."""
    for file in (run / "run.json", run / "checkpoint-2" / "trainer_state.json"):
        for what, content in damage_fields(json.loads(file.read_text())):
            if what.startswith(READ):
                yield what, file, content


@pytest.mark.slow
def test_records_with_odd_values_are_refused_or_do_not_matter(tiny: str, run: Path) -> None:
    before = {file: file.read_bytes() for file in (run / "run.json", run / "checkpoint-2" / "trainer_state.json")}
    refusals = []
    for what, file, content in list(damaged_records(run)):
        file.write_bytes(content)
        try:
            assert take_over(tiny, run)[1] == run / "checkpoint-2", what
        except SkilldeltaError as error:
            refusals.append(str(error))
        for each, good in before.items():
            each.write_bytes(good)
    assert len(refusals) > 200
    assert all(str(run) in refusal for refusal in refusals)


@pytest.mark.parametrize(
    "name", ["checkpoint-best", "checkpoint-", "checkpoint-2-copy", "checkpoint-2.bak", "checkpoint-\u0663"]
)
def test_folders_of_other_names_are_no_checkpoints(name: str, tiny: str, run: Path, policy: nn.Module) -> None:
    shutil.copytree(run / "checkpoint-1", run / name)
    assert go_on(tiny, run, policy) == 3


def test_a_checkpoint_of_another_number_is_refused(tiny: str, run: Path, policy: nn.Module) -> None:
    """Its weights are of step 1, or of a run with more steps: with either, the run would seem to have ended."""
    shutil.copytree(run / "checkpoint-1", run / "checkpoint-7")
    with pytest.raises(SkilldeltaError, match=r"checkpoint-7 cannot be continued: trainer_state\.json is of step 1"):
        go_on(tiny, run, policy)
    state = json.loads((run / "checkpoint-7/trainer_state.json").read_text())
    (run / "checkpoint-7/trainer_state.json").write_text(json.dumps(state | {"global_step": 7}))
    with pytest.raises(SkilldeltaError, match=r"checkpoint-7 is none of this run, which has 3 steps"):
        go_on(tiny, run, policy)


def test_a_best_checkpoint_that_is_gone_is_named(tiny: str, run: Path) -> None:
    training = TrainerRun("sft", config(tiny, run), total=3, steps_per_epoch=4, best=(-1.0, "checkpoint-9"))
    with pytest.raises(SkilldeltaError, match="holds no checkpoint-9, which is the best one"):
        training.final_checkpoint()


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["pipe", "half", "folder", "a number", "deep lists"])
@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_damaged_adapter_is_refused(name: str, damage: str, tiny: str, tmp_path: Path) -> None:
    settings = config(tiny, tmp_path / "run", lora=2, holdout=0.0, max_steps=1)
    sft.train(settings)
    checkpoint = tmp_path / "run/checkpoint-1"
    FILES[damage](checkpoint / name)
    with pytest.raises(SkilldeltaError, match=r"checkpoint-1 cannot be continued(.|\n)*--resume false"):
        policy_models.trainable_policy(settings, checkpoint)


@pytest.mark.parametrize(
    "error", [MemoryError("8 GB"), torch.OutOfMemoryError("8 GB"), RuntimeError("[enforce fail] can't allocate memory: 8 GB")]
)
def test_memory_that_runs_out_is_not_called_damage(error: Exception, tmp_path: Path) -> None:
    words = r"memory ran out .*8 GB.*\nFree some, and give the same command again"
    with pytest.raises(SkilldeltaError, match=words), naming_damage(tmp_path):
        raise error
