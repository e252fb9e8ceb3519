"""One base in memory for all adapters on it: neither merged, nor loaded again.

An adapter of the same settings and shapes as the one that is in the model replaces its tensors in place, in milliseconds: so do
all checkpoints of one run.  Another adapter is attached to the base anew, once nobody uses the one that was there.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.bounded_files import read_json
from harness.engine import packed_linear
from harness.integrity import ADAPTER, ADAPTER_CONFIG, BrokenWeightsError, weight_files
from harness.loading import model as loading
from harness.loading.headers import read_headers
from harness.loading.placement import place_model
from harness.loading.quantization import explain_unknown_method
from harness.loading.reports import require_finite
from harness.loading.settings import ADAPTER_NAME, LoadSettings
from harness.types import Checkpoint, SkilldeltaError, digest

ORIGINS = ("base_model_name_or_path", "revision", "inference_mode", "peft_version")  # settings that change no tensor


@dataclass(eq=False)
class LoadedModel:
    """A checkpoint's model.  `activate()` before each use: another checkpoint on the same base may have been used since."""

    resident: SharedBase
    tensors: dict[str, torch.Tensor] | None  # of its adapter
    note: str = ""  # that its adapter changes nothing, or that its weights are read as plain ones

    @property
    def model(self) -> Any:
        return self.resident.model

    def activate(self) -> None:
        """Puts this checkpoint's adapter into the model, where another is in it."""
        if self.resident.active is not self.tensors and self.tensors is not None:
            from harness.loading.adapters import replace_tensors

            replace_tensors(self.resident.model, self.tensors)
            self.resident.active = self.tensors


class SharedBase:
    """A model of one base, and the tensors of the adapter that are `active` in it.

    `adapter_kind`: what adapters have in common that can replace one another's tensors; "" for the base alone.  `engine` is
    kept here for the next checkpoint: what a model can take does not depend on the tensors.
    """

    def __init__(self, key: str, model: Any, adapter_kind: str, active: dict[str, torch.Tensor] | None) -> None:
        self.key, self.model, self.adapter_kind, self.active = key, model, adapter_kind, active
        self.users: weakref.WeakSet[LoadedModel] = weakref.WeakSet()
        self.engine: Any = None

    def add_user(self, tensors: dict[str, torch.Tensor] | None) -> LoadedModel:
        user = LoadedModel(self, tensors)
        self.users.add(user)
        return user


class BaseHolder:
    """Loads checkpoints one after another, and keeps the base of the last one."""

    def __init__(self) -> None:
        self.resident: SharedBase | None = None

    def load(self, checkpoint: Checkpoint, settings: LoadSettings, device: torch.device) -> LoadedModel:
        """The checkpoint's model, in evaluation mode on its device.  SkilldeltaError as from load_checkpoint()."""
        key = base_key(checkpoint, settings, device)
        resident = self.resident if self.resident and self.resident.key == key else None
        self.resident = None  # a base that is not the next one's is freed before that is loaded
        if resident:
            loading.require_loadable(checkpoint, settings)
        if resident and adapter_kind(checkpoint) == resident.adapter_kind:
            resident.active = None  # where the new tensors fail, its users put their own back
            user = resident.add_user(place_tensors(resident.model, checkpoint) if checkpoint.base else None)
            resident.active = user.tensors
        elif resident and (base := find_base(resident, checkpoint)) is not None:
            user = self.attach(base, checkpoint, key, device)
        else:
            resident = None
            model = loading.load_checkpoint(checkpoint, settings)
            require_finite(model.named_parameters(), checkpoint.path)
            user = make_shared(key, model, checkpoint, device)
        method_note = explain_unknown_method(Path(checkpoint.base or checkpoint.path))
        user.note = "; ".join(filter(None, (method_note, explain_adapter(checkpoint))))
        self.resident = user.resident
        return user

    def attach(self, base: Any, checkpoint: Checkpoint, key: str, device: torch.device) -> LoadedModel:
        """The base with the checkpoint's adapter."""
        from harness.loading.adapters import attach_adapter

        try:
            model = attach_adapter(base, Path(checkpoint.path))
        except BrokenWeightsError as error:
            raise SkilldeltaError(f"{checkpoint.path} cannot be loaded: {error}.") from error
        user = make_shared(key, model, checkpoint, device)
        require_finite((user.tensors or {}).items(), checkpoint.path)
        return user


def make_shared(key: str, model: Any, checkpoint: Checkpoint, device: torch.device) -> LoadedModel:
    """A model that was just loaded, ready to be used and shared."""
    model = place_model(model, device).eval().requires_grad_(False)
    tensors = None
    if checkpoint.base:
        from harness.loading.adapters import read_tensors  # peft takes a second and memory, and most checkpoints need none

        tensors = read_tensors(Path(checkpoint.path))
    packed_linear.pack_model(model, list_replaced_layers(model, tensors or {}))
    resident = SharedBase(key, model, adapter_kind(checkpoint), tensors)
    return resident.add_user(tensors)


def explain_adapter(checkpoint: Checkpoint) -> str:
    """Why a checkpoint's adapter changes nothing; "" where it does, or where there is none."""
    if not checkpoint.base:
        return ""
    from harness.loading.adapters import explain_no_change

    return explain_no_change(Path(checkpoint.path))


def place_tensors(model: Any, checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """The adapter's tensors, put into a model that has an adapter of the same kind."""
    from harness.loading.adapters import place_adapter

    try:
        return place_adapter(model, Path(checkpoint.path))
    except BrokenWeightsError as error:
        raise SkilldeltaError(f"{checkpoint.path} cannot be loaded: {error}.") from error


def list_replaced_layers(model: Any, tensors: Mapping[str, torch.Tensor]) -> list[torch.nn.Module]:
    """The layers whose tensors another checkpoint's are to replace: the adapter's own, and those saved with it."""
    layers = dict(model.named_modules()) if tensors else {}
    own_layers = [layer for name, layer in layers.items() if ADAPTER_NAME in name.split(".")]
    saved_names = [name.removesuffix(".weight") for name in tensors if name.endswith(".weight")]
    return [*own_layers, *(layers[name] for name in saved_names if name in layers)]


def find_base(resident: SharedBase, checkpoint: Checkpoint) -> Any:
    """The base for a checkpoint's adapter; None where it is in use or was changed, or where the adapter would change it.

    Such an adapter gets a base of its own, so that its answers do not depend on what was loaded before it.
    """
    if not checkpoint.base:
        return None
    from harness.loading.adapters import leaves_base

    base = take_base(resident)
    return base if base is not None and leaves_base(base, Path(checkpoint.path)) else None


def take_base(resident: SharedBase) -> Any:
    """The base without its adapter, as it was loaded; None where somebody uses it, or where it may not be as it was."""
    model = resident.model
    if resident.users or (resident.adapter_kind and not model.lies_apart):
        return None
    packed_linear.unpack_model(model)
    return model.unload() if resident.adapter_kind else model


def base_key(checkpoint: Checkpoint, settings: LoadSettings, device: torch.device) -> str:
    """What makes two bases the same: the folder as it lies there, the adapters that are merged into it, how it is loaded."""
    sources = [checkpoint.base or checkpoint.path, *checkpoint.adapters]
    files = [(f, f.stat()) for source in sources for f in sorted(Path(source).glob("*")) if f.is_file()]
    stamps = [(str(file), stat.st_size, stat.st_mtime_ns) for file, stat in files]
    return digest([sources, stamps, str(settings), str(device)])


def adapter_kind(checkpoint: Checkpoint) -> str:
    """What adapters have in common whose tensors can replace one another's: settings, names, shapes; "" for a whole model."""
    if not checkpoint.base:
        return ""
    folder = Path(checkpoint.path)
    config = read_json(folder / ADAPTER_CONFIG)
    headers = read_headers(weight_files(folder, ADAPTER))
    shapes = sorted((name, list(tensor.shape)) for name, tensor in headers.items())
    return digest([{name: value for name, value in config.items() if name not in ORIGINS}, shapes])
