"""How a checkpoint is to be loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

Head = Literal["causal", "classifier"]


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

    def remote(self) -> dict[str, Any]:
        """What decides which files of a Hub model are read, and whether its own code runs."""
        return {"trust_remote_code": self.trust_remote_code, "revision": self.revision or "main"}
