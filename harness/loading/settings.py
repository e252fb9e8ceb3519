"""How a checkpoint is to be loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from harness import hub_cache
from harness.bounded_files import is_folder
from harness.types import unknown_name

DTYPES = ("float32", "bfloat16", "float16", "float64")
Head = Literal["causal", "classifier"]
ADAPTER_NAME = "default"  # of the adapter within a model


@dataclass(frozen=True)
class LoadSettings:
    """`head`: what the model ends in.  `attention` and `revision` "": transformers' own choice.

    `config`: changes of config.json, such as the number of labels of a classifier.
    """

    head: Head = "causal"
    dtype: torch.dtype | Literal["auto"] = torch.float32
    attention: str = ""
    trust_remote_code: bool = False
    revision: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)

    def remote(self, source: str) -> dict[str, Any]:
        """Which files of a Hub model are read ("org/model@revision" names a revision), and whether its own code runs."""
        revision = "" if is_folder(source) else hub_cache.split_revision(source)[1]
        return {"trust_remote_code": self.trust_remote_code, "revision": revision or self.revision or "main"}


def parse_dtype(name: str) -> torch.dtype | Literal["auto"]:
    """torch's type of that name.  Raises SkilldeltaError for another name than those of floating-point types and auto."""
    if name not in (*DTYPES, "auto"):
        raise unknown_name("dtype", name, DTYPES)
    return "auto" if name == "auto" else getattr(torch, name)
