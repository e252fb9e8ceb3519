"""The faster program for each kind of question: on a GPU with vLLM installed texts go to vLLM, choices to the prefix tree.

Elsewhere everything goes to `transformers`.  Which program answered stands in the settings and is said with the results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from harness.engine.device_names import default_device
from harness.loading import decided_settings
from harness.loading.decided_settings import requested_settings
from harness.prompts import templates
from harness.types import Checkpoint, Json, Request, Response, SkilldeltaError
from harness.visible_text import first_line
from harness.vllm_adapters import adapter_rank
from harness.vllm_engine import VllmOptions
from harness.vllm_package import has_vllm, vllm_version

if TYPE_CHECKING:
    from harness.backends.transformers import TransformersModel, TransformersOptions
    from harness.backends.vllm import VllmModel

__all__ = ["AutoModel", "AutoOptions", "load", "requested_settings", "settings_differences"]
T = TypeVar("T")


@dataclass(frozen=True)
class AutoOptions:
    """Settings that both programs have.  `memory`: the share of a GPU that vLLM may fill, beside the weights for the choices.

    `template_*`: see TemplateSettings.
    """

    device: str = ""
    dtype: str = "auto"
    chat_template: str = "auto"
    template_args: str = ""
    template_date: str = ""
    template_prefix: templates.PrefixMode = "refuse"
    max_length: int = 0
    memory: float = 0.6
    trust_remote_code: bool = False
    revision: str = ""

    @cached_property
    def for_choices(self) -> TransformersOptions:
        """Those of `transformers`: one object for a whole run, which keeps the base of its adapters."""
        from harness.backends.transformers import TransformersOptions

        return narrow_options(self, TransformersOptions)


def narrow_options(options: AutoOptions, kind: type[T]) -> T:
    """The options of another backend that have the same names."""
    names = {f.name for f in fields(kind)} & {f.name for f in fields(options)}  # type: ignore[arg-type]
    return kind(**{name: getattr(options, name) for name in names})


def vllm_refusal(checkpoint: Checkpoint, options: AutoOptions) -> str:
    """Why vLLM does not answer the texts of a checkpoint; "" where it does."""
    if default_device(options.device).type != "cuda":
        return "there is no CUDA device"
    if not has_vllm():
        return "vLLM is not installed (pip install 'skilldelta[vllm]')"
    try:
        adapter_rank(checkpoint)
    except SkilldeltaError as error:
        return first_line(error)
    return ""


class AutoModel:
    """One checkpoint in both programs; vLLM's is loaded with the first text."""

    def __init__(self, checkpoint: Checkpoint, options: AutoOptions, tree: TransformersModel, refusal: str) -> None:
        self.checkpoint, self.options, self.tree, self.refusal = checkpoint, options, tree, refusal
        self.block = tree.block
        self.report: Callable[[int, float | None], None] | None = None

    @cached_property
    def writer(self) -> VllmModel | TransformersModel:
        """The program for texts."""
        if self.refusal:
            return self.tree
        from harness.backends import vllm

        model = vllm.load(self.checkpoint, narrow_options(self.options, VllmOptions))
        if self.report:
            model.report_tokens(self.report)
        return model

    @property
    def settings(self) -> Json:
        """Those of the program for choices, and which one answers texts."""
        return {**self.tree.settings, "texts": program_for_texts(self.refusal)}

    @property
    def note(self) -> str:
        """Which program answers what, and why a model is slower than it could be."""
        where = (
            f"transformers answers texts too: {self.refusal}" if self.refusal else "vLLM answers texts, transformers choices"
        )
        return "; ".join(filter(None, (where, self.tree.note)))

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        """Every response with its request's place: first those to requests with choices, then texts."""
        for wants_choices in (True, False):
            places = [i for i, r in enumerate(requests) if bool(r.choices) == wants_choices]
            if places:
                model = self.tree if wants_choices else self.writer
                for at, response in model.answer([requests[i] for i in places]):
                    yield places[at], response

    def report_tokens(self, report: Callable[[int, float | None], None]) -> None:
        """From now on, `report` is called with the tokens computed so far and the seconds left, as answers are being made."""
        self.tree.report_tokens(report)
        self.report = report
        if (writer := vars(self).get("writer")) is not None:
            writer.report_tokens(report)

    def measure_rounding(self, requests: Sequence[Request]) -> tuple[float, float]:
        """How rounding moves the log-likelihoods of choices: see SupportsRounding."""
        return self.tree.measure_rounding(requests)

    def rendered_hash(self, requests: Sequence[Request]) -> str:
        return self.tree.rendered_hash(requests)


def program_for_texts(refusal: str) -> str:
    """As it stands in the settings."""
    return "transformers" if refusal else f"vllm {vllm_version()}"


def differences_from_stored(
    checkpoint: Checkpoint, options: AutoOptions, old_settings: Json, old_flags: Json | None
) -> list[decided_settings.Difference]:
    """Where the model would have other settings now than the stored ones: those of `transformers`, and who answers texts."""
    unlike = decided_settings.settings_differences(checkpoint, options.for_choices, old_settings, old_flags)
    old, now = old_settings.get("texts", "transformers"), program_for_texts(vllm_refusal(checkpoint, options))
    return [*unlike, ("backend.texts", str(old), now)] if old != now else unlike


settings_differences = differences_from_stored  # as it is called for every backend


def load(checkpoint: Checkpoint, options: AutoOptions) -> AutoModel:
    """The checkpoint for both kinds of question.  Raises SkilldeltaError as `transformers` does."""
    from harness.backends import transformers

    return AutoModel(checkpoint, options, transformers.load(checkpoint, options.for_choices), vllm_refusal(checkpoint, options))
