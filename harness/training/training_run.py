"""A training run: its progress and costs, the steps at which it logs and saves, and its resumption.

Its folder has the layout that transformers' Trainer writes, checkpoint-N with trainer_state.json, next to run.json.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from harness.atomic_files import atomic_folder, remove_halves, write_json
from harness.training import batches, model_loading, parallel, run_folder, run_sources, saved_state, settings
from harness.training.costs import Costs, peak_memory
from harness.training.encoding_losses import describe_losses
from harness.training.optimizer import ScheduledOptimizer
from harness.training.progress_lines import StepLines
from harness.training.training_device import training_device, warn_of_slow_type
from harness.types import Checkpoint, Json, SkilldeltaError

LOG = logging.getLogger("skilldelta")
Optimizers = Mapping[str, ScheduledOptimizer]  # by the file name of the state


@dataclass
class TrainerRun:
    """The run folder during training.  Only the first of several processes writes."""

    method: str
    config: settings.TrainerSettings
    total: int  # steps
    steps_per_epoch: int
    costs: Costs = field(default_factory=Costs)
    log_history: list[dict[str, Any]] = field(default_factory=list)
    best: tuple[float, str] | None = None  # (metric, checkpoint's name)
    facts: dict[str, Any] = field(default_factory=dict)  # further content of run.json: data, held-out figures
    memory: dict[str, Any] = field(default_factory=dict)  # a trainer's own numbers that resumption must bring back
    previous: saved_state.SavedRun | None = None  # run.json of the run that this one continues
    is_complete: bool = False  # the run in the folder has ended, and there is nothing to continue
    resources: ExitStack = field(default_factory=ExitStack)  # what ends with the run
    progress: StepLines = field(init=False)

    def __post_init__(self) -> None:
        self.progress = StepLines(self.total)

    @classmethod
    def over_rows(cls, trainer: str, config: settings.TrainerSettings, rows: int) -> TrainerRun:
        """The run of a trainer over so many rows.  Its method is called like the trainer's file: a copy is one of its own."""
        steps, per_epoch = batches.step_count(rows, config), batches.steps_per_epoch(rows, config)
        return cls(trainer.rpartition(".")[2], config, steps, per_epoch)

    @property
    def folder(self) -> Path:
        return Path(self.config.out)

    @cached_property
    def sources(self) -> dict[str, Any]:
        """What the run is made from, as it lay there when it was first looked at."""
        return run_sources.describe_sources(self.config, model_loading.describe_model)

    def find_checkpoint(self, data: Sequence[Json] = ()) -> Path | None:
        """The last checkpoint in the folder, after its log and costs are taken over; None: start from the beginning.

        Raises SkilldeltaError for another program's checkpoints, and for a run, even ended, of other settings, data or models.
        """
        checkpoint, run_json = run_folder.latest_checkpoint(self.folder), self.folder / "run.json"
        if checkpoint is not None and not run_json.is_file():
            raise SkilldeltaError(f"{self.folder} holds checkpoints of another program (no run.json): name another --output.")
        if checkpoint is not None and not self.config.resume:
            run_folder.remove_checkpoints(self.folder)  # they would pass for checkpoints of the new run
            checkpoint = None
        if checkpoint is None:
            return None
        self.previous = saved_state.read_run(run_json)
        run_sources.check_same_method(self.folder, self.previous, self.method)
        run_folder.check_same_settings(self.folder, self.previous.config, self.config)
        run_sources.check_same_sources(self.folder, self.previous, data, self.sources)
        progress = saved_state.read_progress(checkpoint)
        self.is_complete = self.previous.status == "done"
        self.log_history, self.best, self.memory = list(progress.log_history), progress.best, dict(progress.carried)
        # The account is a sum over the processes: only one of them may bring the old part.
        self.costs = Costs(**vars(progress.costs)) if parallel.is_writer() else Costs()
        return checkpoint

    def restore(self, checkpoint: Path | None, optimizers: Optimizers) -> int:
        """Brings back optimisers, schedules and random numbers, and returns the next step.

        Together with an order of rows that follows from (seed, epoch), this makes resumption exact: the same weights, bit for
        bit, as without the interruption.
        """
        if checkpoint is None:
            return 1
        for name, optimizer in optimizers.items():
            run_folder.restore_optimizer(checkpoint, name, optimizer)
        torch.set_rng_state(saved_state.read_random_state(checkpoint))
        return int(checkpoint.name.rpartition("-")[2]) + 1

    def begin(self, **facts: Any) -> None:
        """Writes run.json before the first step: the settings, and the data by their hashes."""
        if self.previous:  # checked here too: a trainer of somebody's own may have named no data before
            run_sources.check_same_sources(self.folder, self.previous, facts["data"], self.sources)
            run_folder.check_steps(self.folder, self.total)
        self.facts |= self.sources | facts
        if parallel.is_writer():
            warn_of_slow_type(self.config)
            if facts.get("lost"):
                LOG.warning("%s", "  ".join(describe_losses(facts["lost"], self.config)))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError as error:  # such as below /proc
            raise SkilldeltaError(f"{self.folder} cannot be made: {error.strerror}.  Name another --output.") from error
        if parallel.is_writer():
            remove_halves(self.folder / "run.json")
        self.write("running", 0)

    def write(self, status: str, step: int) -> None:
        """Writes run.json."""
        if not parallel.is_writer():
            return
        value = {
            "method": self.method,
            "status": status,
            "step": step,
            "config": run_folder.settings_without_keys(self.config),
            "flops": self.costs.flops,
            "tokens": self.costs.tokens,
            "seconds": {k: round(v, 3) for k, v in sorted(self.costs.seconds.items())},
            "peak_memory": peak_memory(),
            "processes": parallel.process_count(),
            "sharded": parallel.uses_shards(self.config.shard),
            "device": str(training_device(self.config)),
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
            "best": {"metric": self.best[0], "checkpoint": self.best[1]} if self.best else None,
            **self.facts,
        }
        write_json(self.folder / "run.json", value)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Adds one line to the log, and tells people; the numbers have TRL's names where TRL has them."""
        row = {k: v if math.isfinite(v) else None for k, v in ((k, float(v)) for k, v in numbers.items())}
        if parallel.is_writer() and (line := self.progress.describe(step, row)):
            LOG.info("%s", line)
        self.log_history.append({"epoch": round(step / self.steps_per_epoch, 6), **row, "step": step})

    def is_due(self, step: int, every: int) -> bool:
        """Is this step one of every so many, or the last?"""
        return step == self.total or (every > 0 and step % every == 0)

    def logs(self, step: int) -> bool:
        """Is this step logged?  The first always is, because its loss is known beforehand."""
        return step == 1 or self.is_due(step, self.config.log_steps)

    def is_best(self, step: int, metric: float) -> bool:
        """Is this held-out figure (higher is better) the best so far?  If so, the run remembers it."""
        is_better = self.best is None or metric > self.best[0]
        if is_better:
            self.best = (metric, f"checkpoint-{step}")
        return is_better

    def save(self, step: int, model: nn.Module, tokenizer: Any, optimizers: Optimizers, more: Json | None = None) -> Path:
        """Writes checkpoint-N: model, tokenizer, all that resumption needs; `more` maps file names to JSON or models."""
        target = self.folder / f"checkpoint-{step}"
        with self.costs.phase("save"):  # every process may hold a part of these
            states = {name: optimizer.state() for name, optimizer in optimizers.items()}
            weights = run_folder.full_weights(model)
        costs = self.total_costs()
        if parallel.is_writer():
            with atomic_folder(target) as draft:
                with self.costs.phase("save"):
                    model.save_pretrained(draft, state_dict=weights)  # type: ignore[operator]
                    tokenizer.save_pretrained(draft)
                    run_folder.write_training_state(draft, states, more or {})
                write_json(draft / "trainer_state.json", self.trainer_state(step, costs))
            run_folder.prune_checkpoints(self.folder, {self.best[1]} if self.best else set(), self.config.save_limit)
        self.write("running", step)
        parallel.barrier()
        return target

    def cost_numbers(self) -> dict[str, float]:
        """The costs so far for the log; PPO's also with the cost of its reward model.  Every process must call this."""
        costs = self.total_costs()
        numbers = {"num_tokens": costs.tokens, "total_flos": costs.flops, "seconds": sum(costs.seconds.values())}
        reward_model_cost = self.facts.get("reward_model", {}).get("cost")
        if reward_model_cost:
            numbers |= {f"{k}_with_reward_model": numbers[k] + reward_model_cost[k] for k in ("total_flos", "seconds")}
        return numbers | {f"seconds/{phase}": seconds for phase, seconds in sorted(costs.seconds.items())}

    def total_costs(self) -> Costs:
        """The account of all processes, with the seconds of the first.  Every process must call this."""
        flops, tokens = parallel.sum_numbers(self.costs.flops, self.costs.tokens)
        return Costs(flops, int(tokens), self.costs.seconds)

    def trainer_state(self, step: int, costs: Costs) -> dict[str, Any]:
        """trainer_state.json with the keys of transformers' Trainer; our own are under stateful_callbacks."""
        best = str(self.folder / self.best[1]) if self.best else None
        return {
            "best_global_step": int(self.best[1].rpartition("-")[2]) if self.best else None,
            "best_metric": self.best[0] if self.best else None,
            "best_model_checkpoint": best,
            "epoch": round(step / self.steps_per_epoch, 6),
            "eval_steps": self.config.eval_steps or self.total,
            "global_step": step,
            "is_hyper_param_search": False,
            "is_local_process_zero": True,
            "is_world_process_zero": True,
            "log_history": self.log_history,
            "logging_steps": self.config.log_steps,
            "max_steps": self.total,
            "num_input_tokens_seen": costs.tokens,
            "num_train_epochs": math.ceil(self.total / self.steps_per_epoch),
            "save_steps": self.config.save_steps or self.total,
            "stateful_callbacks": {"skilldelta": {"costs": dataclasses.asdict(costs), "carried": self.memory}},
            "total_flos": costs.flops,
            "train_batch_size": self.config.micro_batch or self.config.batch,
            "trial_name": None,
            "trial_params": None,
        }

    def finish(self) -> Checkpoint:
        """Closes the account and returns the checkpoint to use: the best one if held-out rows chose one, else the last."""
        self.resources.close()
        self.costs = self.total_costs()
        self.write("done", self.total)
        parallel.barrier()
        return self.final_checkpoint()

    def final_checkpoint(self) -> Checkpoint:
        """The checkpoint to use, of a run that has ended."""
        latest = run_folder.latest_checkpoint(self.folder)
        if latest is None:
            raise SkilldeltaError(f"{self.folder} holds no complete checkpoint.")
        name = self.best[1] if self.best else latest.name
        if not (self.folder / name).is_dir():
            raise SkilldeltaError(
                f"{self.folder} holds no {name}, which is the best one: it was removed, or run.json is damaged."
            )
        step = int(name.rpartition("-")[2])
        base = model_loading.adapter_base(self.config) if self.config.lora else ""
        run, path = str(self.folder), str(self.folder / name)
        return Checkpoint(f"{self.folder.name}@{step}", path, "trainer", self.method, run, step, base)
