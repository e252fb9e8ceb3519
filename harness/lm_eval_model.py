"""This project's engine as a model of lm-eval's own: `lm_eval`'s command line and tasks, shared prefixes computed once.

    python -m harness.lm_eval_model --model skilldelta --model_args pretrained=FOLDER --tasks gsm8k_cot

From Python, importing this module registers the model, and `lm_eval.simple_evaluate(model="skilldelta", ...)` finds it.
Loading, tokenisation, windows and chat templates are those of lm-eval's hf model, which this one extends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lm_eval.__main__ import cli_evaluate
from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text

from harness.backends.transformers import Options, Transformers
from harness.engine import packed_linear
from harness.engine.plain import Pair
from harness.engine.sequences import Prompt

# What a greedy answer depends on, or does not; with any other setting lm-eval's own path is taken.
KNOWN = {"until", "max_gen_toks", "do_sample", "temperature", "top_p", "top_k"}
# Of a model's own generation settings, those that move no greedy answer, and those that move none where they are 1.
HARMLESS = {"do_sample", "temperature", "top_p", "top_k", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "use_cache",
            "bos_token_id", "eos_token_id", "pad_token_id", "max_length", "max_new_tokens", "transformers_version",
            "_from_model_config"}  # fmt: skip
NEUTRAL = {"repetition_penalty", "encoder_repetition_penalty", "length_penalty", "num_beams", "num_return_sequences"}
Encoded = tuple[Any, list[int], list[int]]  # a key for lm-eval's cache, ids of the context, ids of the continuation


@register_model("skilldelta")
class SharedPrefixes(HFLM):  # type: ignore[misc]
    """lm-eval's hf model, with log-likelihoods and greedy answers from the engine.

    What the engine does not take is asked as hf asks it: sampling, beams, penalties (also those of the model's own generation
    settings), thinking to be cut off, autocast, encoder-decoder models.
    `batch_size` counts the rows where nothing is shared; auto leaves it to the device.
    """

    def __init__(self, pretrained: Any, max_batch_tokens: int = 0, **given: Any) -> None:
        super().__init__(pretrained, **given)
        if isinstance(pretrained, str) and not self.apart:  # a model that was handed over stays as its owner made it
            packed_linear.pack(self.model.eval().requires_grad_(False))
        rows = self.batch_size if isinstance(self.batch_size, int) else 0
        options = Options(batch_size=rows, max_batch_tokens=max_batch_tokens, chat_template="none", max_length=self.max_length)
        self.asked = Transformers(self.model, self.tokenizer, options)

    @property
    def apart(self) -> bool:
        """Is hf set up to run the model as the engine does not?"""
        return self.backend != "causal" or self.mixed_precision_dtype is not None

    @property
    def steered(self) -> bool:
        """Do the model's own generation settings move greedy answers: by a repetition penalty, say?"""
        own = self.model.generation_config.to_diff_dict().items()
        return any(v and name not in HARMLESS and not (v == 1 and name in NEUTRAL) for name, v in own)

    def _loglikelihood_tokens(
        self, requests: list[Encoded], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """(log-probability, is it the greedy answer?) of each continuation, its context cut on the left to the window."""
        if self.apart:
            return super()._loglikelihood_tokens(requests, disable_tqdm, override_bs)  # type: ignore[no-any-return]
        pairs = [self.pair(context, continuation) for _, context, continuation in requests]
        weights = dict(self.asked.engine.weigh(self.asked.engine.plan_pairs(pairs)))
        found = [(weights[i].logprob, weights[i].greedy) for i in range(len(pairs))]
        for (key, _, _), answer in zip(requests, found, strict=True):
            if key is not None:  # the windows of a rolling text have none: the whole text is kept
                self.cache_hook.add_partial("loglikelihood", key, answer)
        return found

    def pair(self, context: Sequence[int], continuation: Sequence[int]) -> Pair:
        """The last token is predicted, never fed: one more than the window fits."""
        if not continuation or len(continuation) > self.max_length:
            raise ValueError(f"A continuation of {len(continuation)} tokens has no place in a window of {self.max_length}.")
        context = context or [self.prefix_token_id]  # blanks alone, of which hf makes nothing
        over = max(len(context) + len(continuation) - (self.max_length + 1), 0)
        return Pair(context[over:], continuation)

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """The text after each context, cut before the first stop string."""
        settings = [normalize_gen_kwargs(r.args[1], self.max_gen_toks) for r in requests]
        if self.apart or self.steered or self.truncation or self.think_end_token is not None or any(map(strange, settings)):
            return super().generate_until(requests, disable_tqdm)  # type: ignore[no-any-return]
        end = self.tok_decode(self.eot_token_id, skip_special_tokens=False)
        stops = [handle_stop_sequences(s["until"], eos=end) for s in settings]
        prompts = [
            self.prompt(r.args[0], s["max_gen_toks"], stop) for r, s, stop in zip(requests, settings, stops, strict=True)
        ]
        said = dict(self.asked.engine.generate(self.asked.engine.plan_prompts(prompts), self.asked.ends))
        texts = []
        for i, (request, stop) in enumerate(zip(requests, stops, strict=True)):
            texts.append(postprocess_generated_text(self.tok_decode(said[i].ids), stop, None))
            self.cache_hook.add_partial("generate_until", request.args, texts[-1])
        return texts

    def prompt(self, context: str, most: int, stops: list[str]) -> Prompt:
        """A context cut on its left, so that the window has room for `most` new tokens."""
        room = self.max_length - most
        if room <= 0:
            raise ValueError(f"{most} new tokens leave no room for a prompt in a window of {self.max_length}.")
        ids = self.tok_encode(context)[-room:] or [self.prefix_token_id]
        return Prompt(ids, most, self.asked.tokens.stopper(stops))


def strange(settings: dict[str, Any]) -> bool:
    """Is it asked for what the engine does not do?  hf stops after a token where a stop string is empty."""
    none = settings["max_gen_toks"] < 1 or "" in settings["until"]
    return bool(settings["do_sample"]) or none or not set(settings) <= KNOWN


if __name__ == "__main__":
    cli_evaluate()
