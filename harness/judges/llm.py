"""A language model as a judge, through any backend: `llm:BACKEND:MODEL[,name=value...]`, with the backend's own settings.

Further settings: by=logprobs|text, swap=false, max_tokens, price_in and price_out (for a million tokens), base (of an adapter).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from harness import config, fingerprint, registry
from harness.checkpoint_folders import describe_path, name_base
from harness.grading.language_model import JudgeSettings, LanguageModelJudge
from harness.grading.reply_cache import CachedModel, ReplyCache, ReplyUsage, replies_folder
from harness.name_value_pairs import parse_pairs
from harness.types import Checkpoint, Json, Model, SkilldeltaError, digest

OWN = tuple(each.name for each in fields(JudgeSettings))
NEUTRAL = ("price_in", "price_out", "draw")  # settings that move no verdict


@dataclass(frozen=True)
class JudgeModel:
    """A model by its backend, with the backend's settings, and how it is asked."""

    backend: str
    checkpoint: Checkpoint
    options: Any
    settings: JudgeSettings

    def require_loadable(self) -> None:
        """SkilldeltaError where its folder holds no model that can be loaded."""
        if self.checkpoint.problem:
            raise SkilldeltaError(f"The judge {self.checkpoint.path} cannot be loaded: {self.checkpoint.problem}.")

    def load(self) -> Model:
        self.require_loadable()
        model: Model = registry.module("backends", self.backend).load(self.checkpoint, self.options)
        return model

    @property
    def content(self) -> dict[str, Any]:
        """What moves its replies: weights or served name, and the backend's settings that were asked for."""
        plugin = registry.module("backends", self.backend)
        requested = getattr(plugin, "requested_settings", config.to_plain)(self.options)
        return {"backend": self.backend, "model": fingerprint.hash_checkpoint(self.checkpoint), "settings": requested}


class CachedLanguageModelJudge(LanguageModelJudge):
    """The judge, with replies kept on the disk, and an account of what was asked."""

    def __init__(self, spec: JudgeModel) -> None:
        self.replies = CachedModel(spec.load, ReplyCache.of(spec.content, replies_folder()))
        super().__init__(self.replies, spec.settings)

    def report(self) -> Json:
        """What was asked since the last report, with its price where prices are known."""
        usage, self.replies.usage = self.replies.usage, ReplyUsage()
        price = (usage.tokens_in * self.settings.price_in + usage.tokens_out * self.settings.price_out) / 1e6
        return vars(usage) | ({"price": round(price, 6)} if self.settings.price_in or self.settings.price_out else {})


def parse_model(where: str) -> JudgeModel:
    """The judge that "BACKEND:MODEL,name=value,..." names.  SkilldeltaError for what is none, and for unknown settings."""
    backend, colon, rest = where.partition(":")
    model, _, pairs = rest.partition(",")
    if not colon or not model:
        raise SkilldeltaError(f"llm:{where} names no model: write llm:BACKEND:MODEL, with settings after commas.")
    values = parse_pairs(pairs)
    base = values.pop("base", "")
    own = {name: values.pop(name) for name in OWN if name in values}
    plugin = registry.module("backends", backend)
    options = config.build_config(config.options_type(plugin.load), values)
    settings = config.build_config(JudgeSettings, own)
    is_served = hasattr(plugin, "names_models") and plugin.names_models(options)
    if settings.by == "auto":
        settings = replace(settings, by="text" if is_served else "logprobs")
    local = describe_path(model) if Path(model).is_dir() else Checkpoint("judge", model, "server" if is_served else "hub")
    checkpoint = replace(name_base(local, base) if base else local, name="judge")
    return JudgeModel(backend, checkpoint, options, settings)


def identity(where: str) -> str:
    """What moves its verdicts: the model's content, how it is asked, and the prompts."""
    spec = parse_model(where)
    manner = {name: value for name, value in config.to_plain(spec.settings).items() if name not in NEUTRAL}
    name = Path(spec.checkpoint.path).name
    return f"{spec.backend}:{name}@{digest([spec.content, manner, prompts_identity()])}"


def prompts_identity() -> str:
    """The hash of the criteria's words and of the frame around the texts."""
    from harness.grading.criteria import CRITERIA
    from harness.grading.judge_prompts import render_question
    from harness.grading.questions import JudgeQuestion

    return digest([render_question(JudgeQuestion("p", "r", "s"), criterion) for criterion in CRITERIA.values()])


def load(where: str) -> CachedLanguageModelJudge:
    """The judge.  A server is looked at now, so that a key that is missing is known before a model is asked anything.

    A local model is loaded with the first question that no earlier reply answers.
    """
    spec = parse_model(where)
    judge = CachedLanguageModelJudge(spec)
    if spec.checkpoint.producer == "server":
        _ = judge.replies.model
    else:
        spec.require_loadable()
    return judge
