"""This project's engine as a model of lm-eval: `lm_eval`'s command line and tasks, with shared prefixes computed once.

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

from harness.engine import packed_linear, plain, sequences

# Settings of a request that the engine understands for greedy answers; with any other, hf generates.
GREEDY_SETTINGS = {"until", "max_gen_toks", "do_sample", "temperature", "top_p", "top_k"}
# Of a model's own generation settings, those that change no greedy answer, and those that change none where they are 1.
HARMLESS = {"do_sample", "temperature", "top_p", "top_k", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "use_cache",
            "bos_token_id", "eos_token_id", "pad_token_id", "max_length", "max_new_tokens", "transformers_version",
            "_from_model_config"}  # fmt: skip
NEUTRAL = {"repetition_penalty", "encoder_repetition_penalty", "length_penalty", "num_beams", "num_return_sequences"}
EncodedRequest = tuple[Any, list[int], list[int]]  # a key for lm-eval's cache, ids of the context, ids of the continuation


@register_model("skilldelta")
class SkilldeltaLM(HFLM):  # type: ignore[misc]
    """lm-eval's hf model, with log-likelihoods and greedy answers from the engine.

    hf itself computes what the engine does not do: sampling, beams, penalties (also those of the model's own generation
    settings), thinking that is cut off, autocast, encoder-decoder models.  `batch_size` counts the rows where nothing is
    shared; auto leaves it to the device.
    """

    def __init__(self, pretrained: Any, max_batch_tokens: int = 0, **more: Any) -> None:
        from harness.backends.transformers import TransformersModel, TransformersOptions  # registering the model needs neither

        super().__init__(pretrained, **more)
        if isinstance(pretrained, str) and not self.needs_hf:  # a model that was handed over stays as its owner made it
            packed_linear.pack_model(self.model.eval().requires_grad_(False))
        rows = self.batch_size if isinstance(self.batch_size, int) else 0
        options = TransformersOptions(rows, max_batch_tokens, chat_template="none", max_length=self.max_length)
        self.backend_model = TransformersModel(self.model, self.tokenizer, options)

    @property
    def needs_hf(self) -> bool:
        """Does hf run the model in a way that the engine does not (an encoder-decoder, autocast)?"""
        return self.backend != "causal" or self.mixed_precision_dtype is not None

    @property
    def has_penalties(self) -> bool:
        """Do the model's own generation settings change greedy answers, by a repetition penalty for example?"""
        settings = self.model.generation_config.to_diff_dict().items()
        return any(v and name not in HARMLESS and not (v == 1 and name in NEUTRAL) for name, v in settings)

    def _loglikelihood_tokens(
        self, requests: list[EncodedRequest], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """(log-probability, is it the greedy answer?) of each continuation, its context cut on the left to the window."""
        if self.needs_hf:
            return super()._loglikelihood_tokens(requests, disable_tqdm, override_bs)  # type: ignore[no-any-return]
        engine = self.backend_model.engine
        pairs = [self.fit_pair(context, continuation) for _, context, continuation in requests]
        by_place = dict(engine.loglikelihoods(engine.plan_pairs(pairs)))
        answers = [(by_place[i].logprob, by_place[i].greedy) for i in range(len(pairs))]
        for (key, _, _), answer in zip(requests, answers, strict=True):
            if key is not None:  # a window of a rolling text has no key: lm-eval caches the whole text
                self.cache_hook.add_partial("loglikelihood", key, answer)
        return answers

    def fit_pair(self, context: Sequence[int], continuation: Sequence[int]) -> plain.TokenPair:
        """A pair in the window: its last token is predicted, never fed, so one more than the window fits.

        Raises ValueError for an empty continuation, and for one longer than the window.
        """
        if not continuation or len(continuation) > self.max_length:
            raise ValueError(f"A continuation of {len(continuation)} tokens has no place in a window of {self.max_length}.")
        context = context or [self.prefix_token_id]  # hf gives a context of blanks alone no tokens
        over = max(len(context) + len(continuation) - (self.max_length + 1), 0)
        return plain.TokenPair(context[over:], continuation)

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """The text after each context, cut before the first stop string."""
        settings = [normalize_gen_kwargs(r.args[1], self.max_gen_toks) for r in requests]
        if (
            self.needs_hf
            or self.has_penalties
            or self.truncation
            or self.think_end_token is not None
            or any(map(needs_hf_generation, settings))
        ):
            return super().generate_until(requests, disable_tqdm)  # type: ignore[no-any-return]
        end = self.tok_decode(self.eot_token_id, skip_special_tokens=False)
        stops = [handle_stop_sequences(s["until"], eos=end) for s in settings]
        calls = zip(requests, settings, stops, strict=True)
        prompts = [self.fit_prompt(r.args[0], s["max_gen_toks"], stop) for r, s, stop in calls]
        engine = self.backend_model.engine
        generations = dict(engine.generate(engine.plan_prompts(prompts), self.backend_model.end_tokens))
        texts = []
        for i, (request, stop) in enumerate(zip(requests, stops, strict=True)):
            texts.append(postprocess_generated_text(self.tok_decode(generations[i].ids), stop, None))
            self.cache_hook.add_partial("generate_until", request.args, texts[-1])
        return texts

    def fit_prompt(self, context: str, max_tokens: int, stops: list[str]) -> sequences.TokenPrompt:
        """A context cut on its left, so that the window has room for the new tokens.  Raises ValueError where it has none."""
        room = self.max_length - max_tokens
        if room <= 0:
            raise ValueError(f"{max_tokens} new tokens leave no room for a prompt in a window of {self.max_length}.")
        ids = self.tok_encode(context)[-room:] or [self.prefix_token_id]
        return sequences.TokenPrompt(ids, max_tokens, self.backend_model.tokenizer.make_stop_check(stops))


def needs_hf_generation(settings: dict[str, Any]) -> bool:
    """Does a request need what the engine does not do?  With an empty stop string, hf stops after one token."""
    at_most_one_token = settings["max_gen_toks"] < 1 or "" in settings["until"]
    return bool(settings["do_sample"]) or at_most_one_token or not set(settings) <= GREEDY_SETTINGS


if __name__ == "__main__":
    cli_evaluate()
