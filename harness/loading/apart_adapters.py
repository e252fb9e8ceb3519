"""Adapters that lie beside their base and change none of its tensors: the base is the same again once they are taken out.

Only what was tried is listed.  A kind or a setting that is new is taken to change the base.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, fields
from typing import Any

# Kinds that peft takes out of a model without a trace, with how the names of their own tensors begin.
OWN_TENSORS = {
    "LORA": "lora_",
    "ADALORA": "lora_",
    "IA3": "ia3_",
    "LOHA": "hada_",
    "LOKR": "lokr_",
    "VERA": "vera_",
    "OFT": "oft_",
    "BOFT": "boft_",
    "HRA": "hra_",
    "FOURIERFT": "fourierft_",
    "LN_TUNING": "ln_tuning_",
}
# PiSSA, OLoRA, CorDA and LoftQ take a part out of the base's own weights, each time that such an adapter is loaded.
PLAIN_INITIALISATIONS = (True, False, "gaussian", "orthogonal", "eva")
# Settings that say where an adapter's own tensors are, their sizes, scale and training.  Any other has to be at its default.
HARMLESS_SETTINGS = frozenset(
    name
    for line in (
        "peft_type task_type auto_mapping peft_version base_model_name_or_path revision inference_mode",
        "target_modules exclude_modules feedforward_modules layers_to_transform layers_pattern fan_in_fan_out",
        "r alpha lora_alpha rank_pattern alpha_pattern use_rslora use_dora lora_bias lora_dropout eva_config",
        "target_r init_r tinit tfinal deltaT beta1 beta2 orth_reg_weight total_step",
        "init_weights init_ia3_weights rank_dropout rank_dropout_scale module_dropout use_effective_conv2d",
        "decompose_both decompose_factor projection_prng_key save_projection vera_dropout d_initial",
        "oft_block_size coft eps block_share use_cayley_neumann num_cayley_neumann_terms",
        "boft_block_size boft_block_num boft_n_butterfly_factor boft_dropout apply_GS",
        "n_frequency n_frequency_pattern scaling random_loc_seed",
    )
    for name in line.split()
)


def lies_apart(config: Any, tensor_names: Iterable[str]) -> bool:
    """Whether an adapter of these settings (peft's) and tensors is known to leave every tensor of its base as it is.

    Embeddings, biases or other layers that were saved with it would be written into the base.
    """
    own = OWN_TENSORS.get(str(getattr(config.peft_type, "value", config.peft_type)))
    if own is None or getattr(config, "init_lora_weights", True) not in PLAIN_INITIALISATIONS:
        return False
    if not all(any(part.startswith(own) for part in name.split(".")) for name in tensor_names):
        return False
    return all(is_unused(config, setting) for setting in fields(config) if setting.name not in HARMLESS_SETTINGS)


def is_unused(config: Any, setting: Any) -> bool:
    """Whether a setting is at its default, or is one whose value was looked at already."""
    default = setting.default if setting.default_factory is MISSING else setting.default_factory()
    value = getattr(config, setting.name, default)
    return setting.name == "init_lora_weights" or value == default or (not value and not default)
