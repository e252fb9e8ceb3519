"""A training run: what it has done and cost, when it logs and saves, and from where it goes on.

Its folder has the layout that transformers' Trainer writes, checkpoint-N with trainer_state.json, and run.json beside them.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from harness.store import write_json
from harness.training import model_loading, parallel, run_folder
from harness.training.costs import Costs, peak_memory
from harness.training.optimizer import Updater
from harness.training.settings import Settings
from harness.types import Checkpoint, Json, SkilldeltaError

Updaters = Mapping[str, Updater]  # file name of the optimiser's state -> optimiser


@dataclass
class Run:
    """The run folder while it is written.  Only the first of several processes writes."""

    method: str
    config: Settings
    total: int  # steps
    per_epoch: int
    costs: Costs = field(default_factory=Costs)
    log_history: list[dict[str, Any]] = field(default_factory=list)
    best: tuple[float, str] | None = None  # (metric, checkpoint's name)
    facts: dict[str, Any] = field(default_factory=dict)  # what run.json tells besides: data, held-out figures
    carried: dict[str, Any] = field(default_factory=dict)  # numbers that a trainer wants back on resumption
    before: dict[str, Any] = field(default_factory=dict)  # run.json of the run that is gone on with
    done: bool = False  # there is nothing to go on with: it ended

    @property
    def folder(self) -> Path:
        return Path(self.config.out)

    def resumed(self) -> Path | None:
        """The last checkpoint in the folder, with its log and costs taken over; None: from the beginning."""
        last, told = run_folder.latest(self.folder), self.folder / "run.json"
        if last is not None and not told.is_file():
            raise SkilldeltaError(f"{self.folder} holds checkpoints of another program (no run.json): name another --out.")
        if last is not None and not self.config.resume:
            run_folder.clear(self.folder)  # what is left of the old run would pass for checkpoints of the new one
            last = None
        if last is None:
            return None
        before = json.loads(told.read_text(encoding="utf-8"))
        run_folder.refuse_other_settings(self.folder, before["config"], self.config)
        self.before, self.done = before, before["status"] == "done"
        state = json.loads((last / "trainer_state.json").read_text(encoding="utf-8"))
        self.log_history = state["log_history"]
        if state["best_model_checkpoint"]:
            self.best = (state["best_metric"], Path(state["best_model_checkpoint"]).name)
        kept = state["stateful_callbacks"]["skilldelta"]
        self.costs = Costs(**kept["costs"]) if parallel.first() else Costs()  # they are added up over the processes
        self.carried = kept["carried"]
        return last

    def restore(self, checkpoint: Path | None, updaters: Updaters) -> int:
        """Optimisers, schedules and random numbers as they were; gives the steps that are done."""
        if checkpoint is None:
            return 0
        for name, updater in updaters.items():
            updater.restore(*run_folder.states(checkpoint, name))
        torch.set_rng_state(torch.load(checkpoint / "rng_state.pth", weights_only=True)["cpu"])
        return int(checkpoint.name.rpartition("-")[2])

    def begin(self, **facts: Any) -> None:
        """Writes run.json: what is about to be done, on what."""
        run_folder.refuse_other_data(self.folder, self.before.get("data", []), facts["data"])
        self.facts |= facts
        self.facts.setdefault("base", run_folder.described(self.config.model))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write("running", 0)

    def write(self, status: str, step: int) -> None:
        """run.json as things stand."""
        if not parallel.first():
            return
        value = {
            "method": self.method,
            "status": status,
            "step": step,
            "config": dataclasses.asdict(self.config),
            "flops": self.costs.flops,
            "tokens": self.costs.tokens,
            "seconds": {k: round(v, 3) for k, v in sorted(self.costs.seconds.items())},
            "peak_memory": peak_memory(),
            "processes": parallel.size(),
            "sharded": parallel.divides(self.config.shard),
            "device": str(model_loading.device(self.config)),
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
            "best": {"metric": self.best[0], "checkpoint": self.best[1]} if self.best else None,
            **self.facts,
        }
        write_json(self.folder / "run.json", value)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """One line of the log; the names of the numbers are TRL's where TRL has them."""
        row = {k: v if math.isfinite(v) else None for k, v in ((k, float(v)) for k, v in numbers.items())}
        self.log_history.append({"epoch": round(step / self.per_epoch, 6), **row, "step": step})

    def due(self, step: int, every: int) -> bool:
        """Is this step one of every so many, or the last?"""
        return step == self.total or (every > 0 and step % every == 0)

    def logs(self, step: int) -> bool:
        """Is this step logged?  The first always is: its loss is known beforehand."""
        return step == 1 or self.due(step, self.config.log_steps)

    def improved(self, step: int, metric: float) -> bool:
        """Notes a held-out figure (higher is better) as the best so far, if it is."""
        better = self.best is None or metric > self.best[0]
        if better:
            self.best = (metric, f"checkpoint-{step}")
        return better

    def save(self, step: int, model: nn.Module, tokenizer: Any, updaters: Updaters, more: Json | None = None) -> Path:
        """Writes checkpoint-N: model, tokenizer, what resumption needs; `more` holds folder names and further models."""
        target = self.folder / f"checkpoint-{step}"
        with self.costs.phase("save"):  # every process may hold a part of these
            states = {name: updater.state() for name, updater in updaters.items()}
            weights = run_folder.whole_weights(model)
        costs = self.whole_costs()
        if parallel.first():
            with run_folder.appearing(target) as draft:
                with self.costs.phase("save"):
                    model.save_pretrained(draft, state_dict=weights)  # type: ignore[operator]
                    tokenizer.save_pretrained(draft)
                    run_folder.fill(draft, states, more or {})
                write_json(draft / "trainer_state.json", self.state(step, costs))
            run_folder.prune(self.folder, {self.best[1]} if self.best else set(), self.config.save_limit)
        self.write("running", step)
        parallel.wait()
        return target

    def spent(self) -> dict[str, float]:
        """What the run has cost so far, for its log; and with what its reward model cost.  All must call this."""
        costs = self.whole_costs()
        found = {"num_tokens": costs.tokens, "total_flos": costs.flops, "seconds": sum(costs.seconds.values())}
        judge = self.facts.get("reward_model", {}).get("cost")
        if judge:
            found |= {f"{k}_with_reward_model": found[k] + judge[k] for k in ("total_flos", "seconds")}
        return found | {f"seconds/{phase}": seconds for phase, seconds in sorted(costs.seconds.items())}

    def whole_costs(self) -> Costs:
        """The account of all processes; seconds are the first one's.  All must call this."""
        flops, tokens = parallel.added(self.costs.flops, self.costs.tokens)
        return Costs(flops, int(tokens), self.costs.seconds)

    def state(self, step: int, costs: Costs) -> dict[str, Any]:
        """trainer_state.json with Trainer's keys; ours are under stateful_callbacks."""
        best = str(self.folder / self.best[1]) if self.best else None
        return {
            "best_global_step": int(self.best[1].rpartition("-")[2]) if self.best else None,
            "best_metric": self.best[0] if self.best else None,
            "best_model_checkpoint": best,
            "epoch": round(step / self.per_epoch, 6),
            "eval_steps": self.config.eval_steps or self.total,
            "global_step": step,
            "is_hyper_param_search": False,
            "is_local_process_zero": True,
            "is_world_process_zero": True,
            "log_history": self.log_history,
            "logging_steps": self.config.log_steps,
            "max_steps": self.total,
            "num_input_tokens_seen": costs.tokens,
            "num_train_epochs": math.ceil(self.total / self.per_epoch),
            "save_steps": self.config.save_steps or self.total,
            "stateful_callbacks": {"skilldelta": {"costs": dataclasses.asdict(costs), "carried": self.carried}},
            "total_flos": costs.flops,
            "train_batch_size": self.config.micro_batch or self.config.batch,
            "trial_name": None,
            "trial_params": None,
        }

    def finish(self, **facts: Any) -> Checkpoint:
        """Closes the account and names the checkpoint to go on with: the best one, where one was looked for."""
        self.facts |= facts
        self.costs = self.whole_costs()
        self.write("done", self.total)
        parallel.wait()
        return self.result()

    def result(self) -> Checkpoint:
        """The checkpoint to go on with, of a run that has ended."""
        last = run_folder.latest(self.folder)
        if last is None:
            raise SkilldeltaError(f"{self.folder} holds no whole checkpoint.")
        return self.checkpoint(self.best[1] if self.best else last.name)

    def checkpoint(self, name: str) -> Checkpoint:
        """A checkpoint of this run as a noun."""
        step = int(name.rpartition("-")[2])
        base = model_loading.resolve(self.config.model) if self.config.lora else ""
        return Checkpoint(
            f"{self.folder.name}@{step}", str(self.folder / name), "trainer", self.method, str(self.folder), step, base
        )
