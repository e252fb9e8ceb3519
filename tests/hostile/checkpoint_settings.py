"""Damaged checkpoints by what their settings say: config.json, adapters, tokenizers, chat templates, settings of generation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.hostile.checkpoint_files import ADAPTER, CONFIG, checkpoint_files, list_all, scorer
from tests.hostile.checkpoint_headers import RUN
from tests.hostile.edits import ESCAPES, MARKER, SECRET, Edit, cases, change_json, fields
from tests.support.forked import Case

TOKENIZER, TOKENIZER_CONFIG = f"{RUN}/tokenizer.json", f"{RUN}/tokenizer_config.json"
Settings = Mapping[str, Mapping[str, Any]]  # name -> fields and their values
CONFIG_FIELDS: Settings = {
    "10^9 layers": {"num_hidden_layers": 10**9},
    "10^7 heads": {"num_attention_heads": 10**7},
    "heads of 10^12": {"head_dim": 10**12},
    "hidden size 0": {"hidden_size": 0},
    "no heads": {"num_attention_heads": 0},
    "rotation base 0": {"rope_theta": 0.0},
    "rotation factor as text": {"rope_scaling": {"rope_type": "yarn", "factor": "NaN"}},
    "rotation as a list": {"rope_scaling": [1]},
    "unknown rotation": {"rope_scaling": {"rope_type": "\x1b[31m", "factor": 2.0}},
    "an activation of the system": {"hidden_act": "os.system"},
    "activation as a list": {"hidden_act": ["silu"]},
    "100,000 architectures": {"architectures": ["LlamaForCausalLM"] * 10**5},
    "architectures of escapes": {"architectures": [ESCAPES]},
    "a model type that is a path": {"model_type": "../../evil"},
    "code of its own": {"auto_map": {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"}},
    "a vocabulary of 10^12": {"vocab_size": 10**12},
    "a window of 10^18": {"max_position_embeddings": 10**18},
    "a window of -5": {"max_position_embeddings": -5},
    "a window of 1e300": {"max_position_embeddings": 1e300},
    "end token 10^9": {"eos_token_id": 10**9},
    "end token as an object": {"eos_token_id": {"a": 1}},
    "100,000 labels": {"id2label": {str(i): "x" for i in range(10**5)}},
    "10^9 labels": {"num_labels": 10**9},
    "an unknown type of numbers": {"dtype": "float7"},
    "a type that is a function": {"torch_dtype": "load"},
    "unknown quantization": {"quantization_config": {"quant_method": ESCAPES}},
    "quantization that is not there": {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
    "10^30 bits": {"quantization_config": {"quant_method": "gptq", "bits": 10**30, "group_size": -(10**30)}},
    "a sliding window of 0": {"sliding_window": 0, "use_sliding_window": True},
    "a million layer types": {"layer_types": ["full_attention"] * 10**6},
    "a text config in itself": {"text_config": {"text_config": {"text_config": {}}}},
    "a version of 5,000 digits": {"transformers_version": "9" * 5000},
    "an address with a key": {"_name_or_path": f"http://user:{SECRET}@127.0.0.1:9/x"},
    "attention from the Hub": {"_attn_implementation": {"": "kernels-community/x"}},
    "10^6 parts": {"pretraining_tp": 10**6},
    "deviations of NaN": {"initializer_range": float("nan"), "rms_norm_eps": float("nan")},
    "10^9 experts": {"model_type": "mixtral", "num_local_experts": 10**9},
}
ADAPTER_FIELDS: Settings = {
    "rank 10^9": {"r": 10**9},
    "rank 0": {"r": 0},
    "alpha NaN": {"lora_alpha": float("nan")},
    "an expression without an end": {"target_modules": "(a+)+$" * 50},
    "100,000 modules": {"target_modules": ["q_proj"] * 10**5},
    "unknown type": {"peft_type": ESCAPES},
    "type as a list": {"peft_type": ["LORA"]},
    "an address with a key": {"base_model_name_or_path": f"https://u:{SECRET}@h/x"},
    "an expression of brackets": {"rank_pattern": {"(" * 500: 4}},
    "ranks of 10^12": {"rank_pattern": {".*": 10**12}},
    "odd modules to save": {"modules_to_save": ["*" * 1000, 5]},
    "DoRA as text": {"use_dora": "yes", "use_rslora": [1]},
    "a million layers": {"layers_to_transform": list(range(10**6)), "layers_pattern": "layers"},
    "a class of the system": {"auto_mapping": {"base_model_class": "os", "parent_library": "os"}},
    "unknown start": {"init_lora_weights": "corda", "corda_config": {"x": 1}},
    "tokens beyond the vocabulary": {"trainable_token_indices": [10**9]},
    "a task of escapes": {"task_type": "\x1b[2J"},
}
GENERATION_FIELDS: Settings = {
    "end tokens in a list": {"eos_token_id": [[1]]},
    "lengths": {"max_length": 10**30, "max_new_tokens": -4},
    "temperature NaN": {"temperature": float("nan"), "top_p": -1, "do_sample": "x"},
    "tokens beyond the vocabulary": {"bad_words_ids": [[10**9]], "forced_eos_token_id": 10**9, "suppress_tokens": [10**9]},
    "100,000 stops": {"stop_strings": ["x"] * 10**5, "max_time": 1e-9},
    "a cache of escapes": {"cache_implementation": ESCAPES, "watermarking_config": {"x": 1}},
    "penalties": {"repetition_penalty": 0.0, "no_repeat_ngram_size": 10**9},
}
TEMPLATES: Mapping[str, Any] = {
    "a loop": "{% for i in range(999999999) %}{% for j in range(999999) %}{% endfor %}{% endfor %}x",
    "a long text": "{{ 'x' * 99999999999 }}",
    "a long list": "{{ [1] * 9999999999 }}",
    "a doubled text": "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}{{ n.s }}",
    "a way out": "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ cycler.__init__.__globals__.os.system('touch "
    + f"../{MARKER}"
    + "') }}",
    "a macro that calls itself": "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "other files": "{% include '/etc/passwd' %}{% import 'x' as y %}",
    "5,000 brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "a power": "{{ 9**9**9**9 }}",
    "an error of escapes": "{{ raise_exception('" + ESCAPES + "') }}",
    "half of a pair": "\ud800{{ messages }}",
    "100,000 templates": [{"name": f"n{i}", "template": "x"} for i in range(10**5)],
    "a wide number": "{{ '%99999999999d' % 5 }}",
    "a wide centre": "{{ 'x'.center(99999999999) }}",
    "a wide indent": "{{ [[[[1]]]]|tojson(indent=999999999) }}",
    "long line ends": "{{ ('x '*100000)|wordwrap(1, wrapstring='y'*100000) }}",
    "many slices": "{{ [1]|slice(999999999)|list }}",
    "a wide batch": "{{ [1]|batch(999999999, 'x')|list }}",
    "wide tabs": "{{ ('\t'*1000).expandtabs(10**9) }}",
    "a long replacement": "{{ ('x'*10000).replace('x','y'*1000000) }}",
    "100,000 percent signs": "{{ strftime_now('%' * 100000) }}",
    "a wide year": "{{ strftime_now('%999999999Y') }}",
}
TOKENIZER_FIELDS: Settings = {
    "a length of NaN": {"model_max_length": float("nan")},
    "a length of 400 digits": {"model_max_length": 10**400},
    "a class of the system": {"tokenizer_class": "subprocess.Popen"},
    "a token that is none": {"added_tokens_decoder": {"x": 5}},
    "token 10^12": {"added_tokens_decoder": {str(10**12): {"content": "q"}}},
    "names of Python's": {"extra_special_tokens": {"__class__": "x", "init_kwargs": "y"}},
}
REGEX = "(?:(?:(?:a|aa|a?)+)+)+$"


def split_by(expression: str) -> dict[str, Any]:
    return {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}}


def token(number: int, content: str) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "special"), False) | dict.fromkeys(("lstrip", "rstrip", "normalized"), True)
    return {"id": number, "content": content, **flags}


def add_to_vocabulary(content: dict[str, Any]) -> None:
    content["model"]["vocab"]["zz"] = 2**32 - 1


TOKENIZERS: Settings = {
    "text that grows": {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "x" * 10**6}] * 50}},
    "an expression without an end": split_by(REGEX),
    "an expression that goes back": split_by("^((.*?,?)*?)*?z$"),
    "200,000 tokens": {"added_tokens": [token(i, f"t{i}") for i in range(200_000)]},
    "an empty token": {"added_tokens": [token(299, "")]},
    "a decoder of a million letters": {"decoder": {"type": "Replace", "pattern": {"Regex": ""}, "content": "y" * 10**6}},
    "3,000 copies": {
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}] * 3000,
            "pair": [],
            "special_tokens": {},
        }
    },
    "a length of 10^9": {
        "truncation": {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0},
        "padding": {
            "strategy": {"Fixed": 10**9},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "x",
        },
    },
    "a model of another kind": {
        "model": {"type": "Unigram", "unk_id": 0, "vocab": [["a", -1e308], ["", 0.0]], "byte_fallback": True}
    },
}


def edits_of(settings: Settings, file: str, topic: str) -> dict[str, Edit]:
    return {f"{topic}: {name}": fields(file, **values) for name, values in settings.items()}


def with_template(template: Any) -> Edit:
    """The template in tokenizer_config.json, where no file of its own stands before it."""

    def act(folder: Path) -> None:
        (folder / RUN / "chat_template.jinja").unlink(missing_ok=True)
        fields(TOKENIZER_CONFIG, chat_template=template)(folder)

    return act


EDITS: dict[str, tuple[str, dict[str, Edit]]] = {
    "config": (RUN, edits_of(CONFIG_FIELDS, CONFIG, "config")),
    "adapter": ("lora", edits_of(ADAPTER_FIELDS, ADAPTER, "adapter")),
    "generation": (RUN, edits_of(GENERATION_FIELDS, f"{RUN}/generation_config.json", "generation")),
    "template": (RUN, {f"template: {name}": with_template(text) for name, text in TEMPLATES.items()}),
    "tokenizer": (
        RUN,
        edits_of(TOKENIZER_FIELDS, TOKENIZER_CONFIG, "tokenizer")
        | edits_of(TOKENIZERS, TOKENIZER, "tokenizer")
        | {
            "tokenizer: token 2^32": change_json(TOKENIZER, add_to_vocabulary),
            "tokenizer: merges of nothing": change_json(TOKENIZER, lambda x: x["model"].update(merges=[["nope", "nope"]])),
        },
    ),
}


def checkpoint_cases(good: Path) -> Iterator[Case]:
    """All damaged checkpoints: those of which `checkpoints` reads what is damaged by it, and all by `score`."""
    yield from checkpoint_files(good)
    for topic in ("config", "adapter"):
        yield from cases(good, EDITS[topic][1], list_all, "neighbour", "checkpoints")
    score: Callable[[str], Any] = scorer
    for target, edits in EDITS.values():
        yield from cases(good, edits, score(target), verb="score")
