"""Checkpoints that transformers can load: a folder, a Hub name, or a PEFT adapter with its base."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import transformers

from harness.engine import packed_linear, plain
from harness.engine.engine import Engine, Limits
from harness.prompts import templates, tokenizer_cache
from harness.prompts.encoding import Reader
from harness.prompts.tokenizer_cache import Family
from harness.types import Checkpoint, Finish, Json, Request, Response, SkilldeltaError, digest

Unsafe: type[Exception] = vars(torch.serialization)[
    "pickle"
].UnpicklingError  # what torch refuses with; nothing is unpickled here
LAST = tokenizer_cache.Last()
MUTE = ("Classification", "RewardModel", "ForScore", "QuestionAnswering")  # in the names of classes that give no text
DECIMALS = 6  # of log-probabilities: more is noise


@dataclass(frozen=True)
class Options:
    """`dtype`: auto is the checkpoint's own on a GPU, float32 on a processor.  `batch_size` and `max_batch_tokens` 0: by the
    device.  `engine`: tree computes shared prefixes once, plain shares nothing, auto tries what the model can take.
    `attention`: auto is sdpa for a model that has it, else eager."""

    batch_size: int = 0
    max_batch_tokens: int = 0
    engine: Literal["auto", "tree", "plain"] = "auto"
    device: str = ""
    dtype: str = "auto"
    chat_template: str = "auto"
    attention: str = "auto"
    max_length: int = 0
    trust_remote_code: bool = False
    revision: str = ""


class Transformers:
    """A causal language model with its tokenizer and template."""

    block = 512  # a shared prefix is computed once a block

    def __init__(self, model: Any, tokenizer: Any, options: Options, family: Family | None = None) -> None:
        self.model, self.options = model, options
        self.family = family or Family(tokenizer)
        self.template = templates.choose(options.chat_template, tokenizer)
        self.tokens = self.family.tokens(options.max_length or window(model.config, tokenizer))
        self.reader = Reader(self.tokens, self.template)
        gpu = model.device.type == "cuda"
        rows, slots = (options.batch_size or n for n in ((32, 256) if gpu else (8, 64)))
        self.engine = Engine(model, Limits(rows, slots, options.max_batch_tokens), options.engine)
        self.ends = end_tokens(model, tokenizer)

    @property
    def settings(self) -> Json:
        return {
            "backend": "transformers",
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "device": self.model.device.type,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "attention": str(self.model.config.get_text_config()._attn_implementation),
            "template": self.template.name,
            "window": self.tokens.window,
            **({"revision": self.options.revision} if self.options.revision else {}),
            "engine": self.engine.name,
        }

    @property
    def note(self) -> str:
        """What the user should know of how the model is asked."""
        return self.engine.note

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Every response with its request's place: first what is to be weighed, then what is to be continued."""
        yield from self.weigh([(i, r) for i, r in enumerate(requests) if r.choices])
        yield from self.continue_([(i, r) for i, r in enumerate(requests) if not r.choices])

    def weigh(self, asked: Sequence[tuple[int, Request]]) -> Iterator[tuple[int, Response]]:
        """A log-probability for each choice; a response is ready with its last choice."""
        if not asked:
            return
        requests = [r for _, r in asked]
        kind = ("weigh", self.engine.packs, self.engine.reach)
        ready = self.family.once(self.key(kind, requests), lambda: self.reader.choices(requests, self.engine.plan_pairs))
        for place, response in ready.early:
            yield asked[place][0], response
        sums: dict[int, dict[int, list[plain.Weight]]] = {p: {} for p in ready.told}
        left = ready.pairs()
        for at, weight in self.engine.weigh(ready.plan):
            place, choice = ready.owners[at]
            sums[place].setdefault(choice, []).append(weight)
            left[place] -= 1
            if not left[place]:
                index, request = asked[place]
                yield index, weighed(sums.pop(place), len(request.choices), *ready.told[place])

    def continue_(self, asked: Sequence[tuple[int, Request]]) -> Iterator[tuple[int, Response]]:
        """A text for each prompt."""
        if not asked:
            return
        requests = [r for _, r in asked]
        kind = ("continue", self.engine.shares, self.engine.reach)
        ready = self.family.once(self.key(kind, requests), lambda: self.reader.texts(requests, self.engine.plan_prompts))
        for place, response in ready.early:
            yield asked[place][0], response
        for at, said in self.engine.generate(ready.plan, self.ends):
            place, tokens, cut = ready.owners[at]
            index, request = asked[place]
            text = self.tokens.text(said.ids, request.stop)
            finish: Finish = said.finish
            yield index, Response(text, finish, tokens_in=tokens, tokens_out=len(said.ids), truncated=cut)

    def key(self, kind: tuple[str, bool, float], requests: Sequence[Request]) -> tuple[object, ...]:
        """What decides how requests become a plan, within a family."""
        return (*kind, self.tokens.window, self.template.name, digest([r.id for r in requests]))


def weighed(sums: dict[int, list[plain.Weight]], choices: int, tokens: int, cut: int) -> Response:
    logprobs = tuple(round(sum(w.logprob for w in sums[c]), DECIMALS) for c in range(choices))
    greedy = tuple(all(w.greedy for w in sums[c]) for c in range(choices))
    return Response(logprobs=logprobs, greedy=greedy, tokens_in=tokens, truncated=cut)


def load(checkpoint: Checkpoint, options: Options) -> Transformers:
    """The checkpoint's model on its device, in evaluation mode.  Errors name what is missing."""
    transformers.utils.logging.disable_progress_bar()  # loading has its place in our own progress
    try:
        found = load_family(checkpoint, options)
        model = load_model(checkpoint, options)
    except Unsafe as error:
        raise SkilldeltaError(
            f"{checkpoint.path} holds pickled weights that are more than tensors: to load them would run code of their own, "
            "so they are refused.  Save the model as safetensors where you trust it."
        ) from error
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise SkilldeltaError(f"{checkpoint.path} cannot be loaded: {type(error).__name__}: {error}") from error
    packed_linear.pack(model.eval().requires_grad_(False))
    ready = Transformers(model, found.tokenizer, options, found)
    if why := ready.engine.causal_refusal:
        raise SkilldeltaError(
            f"{checkpoint.path} is no causal language model ({model.config.model_type}): {why}.\n"
            "How likely it finds a text is told by the text itself.  Score a model that was trained to continue texts; "
            "of BERT's kin, a decoder has is_decoder in its config.json."
        )
    return ready


def load_family(checkpoint: Checkpoint, options: Options) -> Family:
    """The checkpoint's own tokenizer, for an adapter without one its base's; the last checkpoint's where it is the same."""
    own = Path(checkpoint.path) / "tokenizer_config.json"
    source = checkpoint.base if checkpoint.base and not own.exists() else checkpoint.path
    remote = {"trust_remote_code": options.trust_remote_code, "revision": options.revision or "main"}
    return LAST.of(tokenizer_cache.key(source, remote), lambda: transformers.AutoTokenizer.from_pretrained(source, **remote))


def load_model(checkpoint: Checkpoint, options: Options) -> Any:
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype: Any = options.dtype if options.dtype != "auto" or device.startswith("cuda") else "float32"
    source = checkpoint.base or checkpoint.path
    remote = {"trust_remote_code": options.trust_remote_code, "revision": options.revision or "main"}
    config = transformers.AutoConfig.from_pretrained(source, **remote)
    speaks(source, config)
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        source,
        config=config,
        dtype=dtype if dtype == "auto" else getattr(torch, dtype),
        attn_implementation=None if options.attention == "auto" else options.attention,
        weights_only=True,
        output_loading_info=True,
        **remote,
    )
    if missing := sorted(report["missing_keys"]):
        named = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise SkilldeltaError(f"{source} lacks {len(missing)} of the model's weights ({named}): they would be random.")
    if checkpoint.base:
        import peft

        # peft asks transformers for a property by its old name
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        model = peft.PeftModel.from_pretrained(model, checkpoint.path)
    return model.to(device)


def speaks(source: str, config: Any) -> None:
    """Refuses what has a head that gives no text, such as a reward model: its language head would be random, or its body's
    embeddings."""
    if getattr(config, "is_encoder_decoder", False):
        raise SkilldeltaError(
            f"{source} is an encoder-decoder model ({config.model_type}); this backend takes models that continue a text.\n"
            "lm-eval's own has a place for it: --model lm-eval:hf."
        )
    heads = list(getattr(config, "architectures", None) or ())
    mute = [h for h in heads if any(kind in h for kind in MUTE)]
    if mute and len(mute) == len(heads):
        raise SkilldeltaError(
            f"{source} is a {', '.join(mute)}: it grades or labels texts and writes none, so no task can be asked of it.\n"
            "Score the language model that it was made from; a reward model is a judge (`skilldelta list judges`)."
        )


def devices() -> str:
    """What models can run on here, for people."""
    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return f"the processor, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"


def window(config: Any, tokenizer: Any) -> int:
    """How many tokens the model takes at once; where nothing tells, 2048, as lm-eval has it."""
    text = config.get_text_config()
    names = ("n_positions", "max_position_embeddings", "n_ctx")
    found = next((getattr(text, n) for n in names if isinstance(getattr(text, n, None), int)), 0)
    if not found and tokenizer.model_max_length < 1e9:
        found = int(tokenizer.model_max_length)
    return found or 2048


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a text: the tokenizer's and the generation config's."""
    named = getattr(model, "generation_config", None)
    found = getattr(named, "eos_token_id", None)
    listed = found if isinstance(found, list) else [found]
    return frozenset(t for t in [*listed, tokenizer.eos_token_id] if t is not None)
