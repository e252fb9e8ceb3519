"""Answers sampled by vLLM during training, with the weights of the policy as they are at that step.

vLLM runs on the same device, in a process of its own that reads weights from files of the run folder: a whole policy in the
place of the weights before, a LoRA adapter as the adapter of the requests.  Token ids come back, never texts.  Training uses
log-probabilities that the policy computes itself; their difference from vLLM's says whether both are one model.
"""

from __future__ import annotations

import logging
import shutil
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from harness.training import batches, forward, model_loading, parallel, run_folder
from harness.training.reward_settings import RewardSettings
from harness.training.rollouts import StopCheck, never_ends
from harness.training.sampling import SampledAnswer, Sampler, SamplingSettings, sample_answers
from harness.training.sampling_gap import WRONG_GAP
from harness.training.training_device import autocast, training_device
from harness.types import SkilldeltaError
from harness.visible_text import first_line
from harness.vllm_adapters import LORA_RANKS
from harness.vllm_engine import LastEngine, VllmJob, VllmOptions
from harness.vllm_package import has_vllm

if TYPE_CHECKING:
    from harness.training.policy_prompts import PolicyPrompts
    from harness.vllm_engine import VllmEngine

LOG = logging.getLogger("skilldelta")
FOLDER = "_rollouts"  # of the run, with the weights that vLLM reads next; searches for checkpoints pass over such names
# Prompts are ids and answers stay ids, so that vLLM needs no tokenizer.  Its log-probabilities are those that it samples from.
OWN_ARGS = "skip_tokenizer_init=true;logprobs_mode=processed_logprobs"


def choose_sampler(config: RewardSettings, policy: nn.Module, prompts: PolicyPrompts, resources: ExitStack) -> Sampler:
    """What samples the answers by the settings: `sample_answers`, or vLLM, which ends with `resources`; `auto` says which.

    Raises SkilldeltaError where vLLM is asked for and cannot sample for this run.
    """
    if config.sampler == "engine":
        return sample_answers
    is_auto, processes = config.sampler == "auto", parallel.process_count()
    if is_auto and (not has_vllm() or processes > 1 or training_device(config).type != "cuda"):
        LOG.info("The engine of the trainers samples: vLLM takes a GPU, its package and a single process.")
        return sample_answers
    if processes > 1:
        raise SkilldeltaError(
            f"--sampler vllm is for one process, and these are {processes}: --sampler engine divides the answers among them."
        )
    longest = config.max_new + max(len(item.ids) for item in (*prompts.training, *prompts.heldout))
    window = getattr(forward.inner_model(policy).config.get_text_config(), "max_position_embeddings", None) or longest
    if longest > window:
        raise SkilldeltaError(
            f"A prompt and --max-new {config.max_new} need {longest} tokens, and vLLM ends at the model's {window}: lower "
            "--max-new or --max-prompt, or use --sampler engine."
        )
    LOG.info("vLLM samples the answers.")
    sampler = VllmSampler(config, policy, longest)
    resources.callback(sampler.close)
    return sampler


class VllmSampler:
    """A vLLM engine that gets the weights of the policy before it samples.  It ends by `close`, or with this object.

    An answer follows from the weights, the seed and its place in the list.  `longest`: tokens of a prompt and its answer.
    """

    def __init__(self, config: RewardSettings, policy: Any, longest: int) -> None:
        self.config, self.folder, self.updates = config, Path(config.out) / FOLDER, 0
        # A policy trained in bfloat16 has weights of float32 that every pass rounds: vLLM gets them rounded.
        self.dtype = torch.bfloat16 if config.dtype == "bfloat16" else torch.float32
        args = ";".join(filter(None, (OWN_ARGS, config.vllm_args)))
        self.options = VllmOptions(dtype=config.dtype, memory=config.vllm_memory, max_length=longest, args=args)
        self.last, self.loads_in_place = LastEngine(), True
        shutil.rmtree(self.folder, ignore_errors=True)  # of a run that was killed
        self.close = weakref.finalize(self, end_engine, self.last, self.folder)
        if config.lora:
            rank = min((r for r in LORA_RANKS if r >= config.lora), default=0)
            if not rank:
                raise SkilldeltaError(f"--lora is {config.lora}, and vLLM takes up to {LORA_RANKS[-1]}: use --sampler engine.")
            self.start(model_loading.adapter_base(config), rank)
        else:
            self.try_loading(policy)

    def start(self, source: str, rank: int = 0) -> None:
        """A new engine in the place of the last.  Raises SkilldeltaError where vLLM does not start."""
        try:
            self.last.start(source, self.options, rank)
        except SkilldeltaError as error:
            raise SkilldeltaError(
                f"{first_line(error)}\nUse --sampler engine, or change --vllm-memory or --vllm-args (NAME=VALUE;NAME=VALUE)."
            ) from error

    def try_loading(self, policy: Any) -> None:
        """An engine with weights of zero, on which loading in place is tried: the policy must find its answer as likely.

        vLLM passes over some weights: over a tied output projection on a processor, of which it keeps a packed copy.
        """
        zeros = {name: torch.zeros_like(weight) for name, weight in self.rounded_weights(policy).items()}
        policy.save_pretrained(self.folder / "start", state_dict=zeros)
        self.start(str(self.folder / "start"))
        shutil.rmtree(self.folder / "start")
        (answer,) = self(policy, [(1,)], SamplingSettings(0, min(8, self.config.max_new)))
        row = batches.pad_rows([batches.Tokens((1, *answer.ids), 1)], 0)
        with torch.no_grad(), autocast(self.config):
            logps = forward.target_logps(policy, row.to(forward.inner_model(policy).device)).logps
        self.loads_in_place = bool((logps.cpu() - torch.tensor(answer.logprobs)).abs().mean() < WRONG_GAP)
        if not self.loads_in_place:
            LOG.warning("vLLM does not load the weights of this model in place: it starts anew for every batch of answers.")

    def __call__(
        self, model: nn.Module, prompts: Sequence[Sequence[int]], settings: SamplingSettings, stops: Sequence[StopCheck] = ()
    ) -> list[SampledAnswer]:
        """See `sample_answers`.  Raises SkilldeltaError where vLLM ends."""
        same: dict[str, Any] = {"max_tokens": settings.max_new, "temperature": settings.temperature, "logprobs": 0}
        same |= {"stop_token_ids": sorted({settings.end} | settings.ends)}
        seeds = [batches.derive_seed(settings.seed, "vllm", place) for place in range(len(prompts))]
        checks = [None if stop is never_ends else stop for stop in stops] or [None] * len(prompts)
        jobs = [VllmJob(*job) for job in zip(prompts, (same | {"seed": seed} for seed in seeds), checks, strict=True)]
        try:
            with self.engine(model) as (engine, adapter):
                outputs = dict(engine.run(jobs, adapter))
        except SkilldeltaError:
            raise
        except Exception as error:
            raise SkilldeltaError(
                f"vLLM failed while it sampled: {type(error).__name__}: {first_line(error)}\n"
                "The same command goes on from the last checkpoint.  --sampler engine, with another --output, needs no vLLM."
            ) from error
        answers = []
        for i in range(len(jobs)):
            ids, by_token = outputs[i].ids, outputs[i].logprobs
            logprobs = tuple(float(entry[token].logprob) for token, entry in zip(ids, by_token, strict=False))
            answers.append(SampledAnswer(tuple(ids), outputs[i].finish == "stop", logprobs))
        return answers

    @contextmanager
    def engine(self, policy: Any) -> Iterator[tuple[VllmEngine, str]]:
        """The engine with the policy's weights, and the adapter for the requests ("": none)."""
        self.updates += 1
        target = self.folder / f"{self.updates}"
        policy.save_pretrained(target, **{} if self.config.lora else {"state_dict": self.rounded_weights(policy)})
        if not self.loads_in_place:
            self.start(str(target))
        assert self.last.engine
        if self.loads_in_place and not self.config.lora:
            self.last.engine.load_weights(str(target))
        yield self.last.engine, str(target) if self.config.lora else ""
        shutil.rmtree(target)

    def rounded_weights(self, policy: nn.Module) -> dict[str, Tensor]:
        """The weights of a policy as vLLM computes with them."""
        return {name: weight.to(self.dtype).cpu() for name, weight in run_folder.untied_weights(policy).items()}


def end_engine(last: LastEngine, folder: Path) -> None:
    """Ends an engine and removes its files."""
    last.close()
    shutil.rmtree(folder, ignore_errors=True)
