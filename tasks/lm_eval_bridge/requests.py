"""lm-eval's requests as requests here: everything that a task file asks of a model is in them, or refused by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.types import Message, Request, SkilldeltaError

DEFAULT_MAX_TOKENS = 256  # what lm-eval's hf backend generates where a task does not say
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # the first that is given counts
SAMPLING = ("temperature", "top_p", "top_k", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")  # no part in greedy answers
BEAMS = ("length_penalty", "early_stopping", "num_beam_groups", "diversity_penalty")  # no part without beams
# Values with which a setting of transformers' generate changes nothing.
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "num_beams": (1,),
    "num_return_sequences": (1,),
    "repetition_penalty": (1,),
    "encoder_repetition_penalty": (1,),
    "no_repeat_ngram_size": (0,),
    "min_length": (0,),
    "min_new_tokens": (0,),
    "use_cache": (True,),
    "top_k": (0,),
    "min_p": (0,),
    "typical_p": (1,),
}


class ChatText(str):
    """Stands for a rendered chat while lm-eval builds its requests: a template renders the messages later."""

    messages: tuple[Message, ...] = ()


def capture_chat(messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool = True) -> ChatText:
    """In place of a model's apply_chat_template: keeps the messages, of which the last may begin the answer."""
    text = ChatText("".join(f"{m['role']}: {m['content']}\n" for m in messages))
    text.messages = tuple(Message(m["role"], m["content"]) for m in messages)
    return text


def split_prefix(messages: tuple[Message, ...]) -> tuple[tuple[Message, ...], str]:
    """(the messages, the beginning of the answer): lm-eval writes the latter as a last message of the assistant."""
    return (messages[:-1], messages[-1].content) if messages[-1].role == "assistant" else (messages, "")


def prompt_fields(context: str) -> dict[str, Any]:
    """The fields of a Request that say what the model continues."""
    if isinstance(context, ChatText):
        messages, prefix = split_prefix(context.messages)
        return {"prompt": messages, "prefix": prefix, "chat": True, "truncate": True}
    return {"prompt": context, "raw": True, "truncate": True}


def loglikelihood_request(instances: Sequence[Any]) -> Request:
    """The choices of a document: after one context, or each after its own."""
    contexts = [i.args[0] for i in instances]
    choices = tuple(i.args[1] for i in instances)
    if len(set(contexts)) == 1:
        return Request(choices=choices, **prompt_fields(contexts[0]))
    chats = [context for context in contexts if isinstance(context, ChatText)]
    if not chats:
        return Request("", choices=choices, contexts=tuple(contexts), raw=True, truncate=True)
    split_chats = {context: split_prefix(context.messages) for context in chats}
    prefixes = {prefix for _, prefix in split_chats.values()}
    if len(prefixes) > 1:
        raise SkilldeltaError("The choices of a document begin their answers differently (gen_prefix), which is not bridged.")
    own_contexts = tuple(split_chats[c][0] if isinstance(c, ChatText) else c for c in contexts)
    return Request("", prefix=prefixes.pop(), choices=choices, contexts=own_contexts, truncate=True, chat=True)


def rolling_request(instances: Sequence[Any]) -> Request:
    return Request("", choices=(instances[0].args[0],), rolling=True, raw=True, truncate=True)


def generate_request(instances: Sequence[Any]) -> Request:
    """A text, with the length, stops and sampling of lm-eval's normalize_gen_kwargs; the other settings go along by name."""
    context, settings = instances[0].args
    fields = prompt_fields(context) | {"stop": parse_stops(settings.get("until")), **parse_sampling(settings)}
    lengths = [settings[name] for name in LENGTHS if settings.get(name) is not None]
    fields["max_tokens"] = int(lengths[0]) if lengths else DEFAULT_MAX_TOKENS
    is_greedy = fields["temperature"] == 0
    common = {*LENGTHS, "until", "do_sample", "temperature", "top_p"}
    without_effect = {*(SAMPLING if is_greedy else ()), *(BEAMS if settings.get("num_beams", 1) == 1 else ())}
    further = {name: value for name, value in settings.items() if name not in common | without_effect and value is not None}
    generation = tuple(sorted((name, value) for name, value in further.items() if value not in NEUTRAL.get(name, ())))
    return Request(**fields, generation=generation)


def parse_stops(until: Any) -> tuple[str, ...]:
    """The stop strings.  SkilldeltaError for what is no text, and for an empty one, at which lm-eval's hf ends every answer."""
    stops = tuple(until) if isinstance(until, list | tuple) else () if until is None else (until,)
    if unusable := [stop for stop in stops if not isinstance(stop, str) or not stop]:
        raise SkilldeltaError(f"generation_kwargs has the stop {unusable[0]!r} in `until`, which is no text to stop at.")
    return stops


def parse_sampling(settings: Mapping[str, Any]) -> dict[str, float]:
    """Temperature (0: greedy) and top_p.  SkilldeltaError for sampling at temperature 0, which lm-eval's hf refuses too."""
    temperature = float(settings.get("temperature") or 0.0)
    does_sample = settings.get("do_sample")
    if does_sample and temperature <= 0:
        raise SkilldeltaError(
            f"generation_kwargs has do_sample: true with temperature {settings.get('temperature', 'left out')}, at which "
            "nothing can be sampled: write a temperature above 0, or do_sample: false."
        )
    if does_sample is False or temperature == 0:
        return {"temperature": 0.0}
    top_p = settings.get("top_p")
    return {"temperature": temperature, "top_p": 1.0 if top_p is None else float(top_p)}


REQUEST_BUILDERS: dict[str, Callable[[Sequence[Any]], Request]] = {
    "loglikelihood": loglikelihood_request,
    "multiple_choice": loglikelihood_request,
    "loglikelihood_rolling": rolling_request,
    "generate_until": generate_request,
}
