"""The load contract: "ready" means that `score` will load it.  Found out from headers, before anything heavy is loaded.

Everything that loads a checkpoint asks here first: listing, scoring, watching, comparing in turn, training.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from math import isfinite
from pathlib import Path

from harness import hub_cache
from harness.bounded_files import is_folder, read_bytes
from harness.checkpoint_folders import adapter_folders, explain_missing_base
from harness.integrity import ADAPTER, ADAPTER_CONFIG, SINGLE, BrokenWeightsError, UncheckedError, weight_files, weight_sets
from harness.loading.generation_config import GENERATION_CONFIG
from harness.loading.gguf import is_gguf
from harness.loading.headers import open_tensors, read_headers
from harness.loading.quantization import explain_unknown_method
from harness.loading.reports import explain_zeros
from harness.loading.settings import LoadSettings
from harness.loading.whole_model import IGNORABLE, check_whole_model, explain_index
from harness.types import Checkpoint, digest
from harness.visible_text import printable

VERDICTS: dict[str, ContractVerdict] = {}  # checkpoints of one run have the same headers: they are placed once
ABSURD = 1e30  # no weight of a model that works is as large: sums of its products are no numbers any more


@dataclass(frozen=True)
class ContractVerdict:
    """`problem`: why it cannot be loaded, "" where it can.  `note`: what its reader should know all the same."""

    problem: str = ""
    note: str = ""


def check_contract(checkpoint: Checkpoint, settings: LoadSettings = LoadSettings()) -> ContractVerdict:
    """Whether a checkpoint can be loaded.  Nothing but headers is read, and the values of an adapter."""
    if checkpoint.problem or not checkpoint.path:
        return ContractVerdict(checkpoint.problem)
    folders = [checkpoint.base or checkpoint.path, *adapter_folders(checkpoint)]
    if is_gguf(folders[0]):
        return ContractVerdict(note="unchecked: a GGUF file")
    local = [place if is_folder(place) else snapshot(place, settings) for place in folders]
    for place, here in zip(folders, local, strict=True):
        if here is None:
            name, revision = hub_cache.split_revision(place)
            problem = explain_missing_base(name) or hub_cache.explain_absence(name, revision or settings.revision)
            if problem and checkpoint.base and place == checkpoint.base:
                problem = f"an adapter of {printable(place)}: {problem}; name the base's folder with --base DIR"
            return ContractVerdict(problem, "" if problem else f"unchecked: {printable(place)} is fetched from the Hub")
    try:
        return place_once([Path(str(here)) for here in local], settings)
    except BrokenWeightsError as error:
        return ContractVerdict(str(error))


def snapshot(place: str, settings: LoadSettings) -> Path | None:
    """A Hub model's folder in the cache; None where it is not there."""
    name, revision = hub_cache.split_revision(place)
    return hub_cache.snapshot_folder(name, revision or settings.revision)


def place_once(folders: list[Path], settings: LoadSettings) -> ContractVerdict:
    """The verdict on a whole model and the adapters on it; of equal headers and configs the one that was found before."""
    nothing = ""
    if len(folders) > 1:
        from harness.loading.adapters import explain_no_change  # peft takes a second, and most checkpoints need none

        nothing = explain_no_change(folders[-1])
    key = digest([contract_key(folders), settings.head, settings.trust_remote_code, dict(settings.config)])
    has_one_set_each = len(all_weight_files(folders)) == len(folders)  # two sets may differ in values alone
    verdict = VERDICTS.get(key) if has_one_set_each else None
    if verdict is None:
        verdict = place(folders, settings)
        if has_one_set_each:
            VERDICTS[key] = verdict
    return replace(verdict, note="; ".join(filter(None, (verdict.note, explain_unknown_method(folders[0]), nothing))))


def contract_key(folders: Iterable[Path]) -> list[object]:
    """What decides whether weights can be placed: configs, names, shapes and types."""
    parts: list[object] = []
    for number, folder in enumerate(folders):
        names, configs = (ADAPTER, [ADAPTER_CONFIG]) if number else (SINGLE, ["config.json", GENERATION_CONFIG])
        files = [folder / name for name in configs if (folder / name).is_file()]
        headers = read_headers([file for file in weight_files(folder, names) if file.is_file()])
        parts += [
            [read_bytes(file).decode(errors="replace") for file in files],
            "" if number else explain_index(folder),
            sorted((key, tensor.shape, tensor.dtype) for key, tensor in headers.items()),
        ]
    return parts


def all_weight_files(folders: Iterable[Path]) -> list[str]:
    """Every name under which sets of weights lie in the folders."""
    return [name for number, folder in enumerate(folders) for name in weight_sets(folder, ADAPTER if number else SINGLE)]


def place(folders: list[Path], settings: LoadSettings) -> ContractVerdict:
    """Places a whole model's weights and those of its adapters, without their values."""
    try:
        model = check_whole_model(folders[0], settings)
        for folder in folders[1:]:
            from harness.loading.adapters import check_adapter

            peft_model = check_adapter(model, folder, settings.head)
            model = peft_model.unload() if folder != folders[-1] else peft_model
    except UncheckedError as error:
        return ContractVerdict(note=f"unchecked: {error}")
    except BrokenWeightsError as error:
        return ContractVerdict(str(error))
    return ContractVerdict()


def find_infinite(checkpoint: Checkpoint) -> str:
    """Which of the files' tensors hold values that are no numbers, or nothing but zeros; "" where none does.

    Reads all of them, one at a time; a base that several adapters share once.
    """
    whole, is_zero = [(Path(checkpoint.base or checkpoint.path), SINGLE)], list[bool]()
    for folder, names in [*whole, *((Path(path), ADAPTER) for path in adapter_folders(checkpoint))]:
        files = weight_files(folder, names) if folder.is_dir() else []
        stamps = [(file, (stat := file.stat()).st_mtime_ns, stat.st_size, stat.st_ino) for file in files if file.is_file()]
        values = check_values(tuple(files), tuple(stamps))
        if values.problem:
            return values.problem
        is_zero += values.is_zero if names == SINGLE else ()
    return explain_zeros(is_zero)


@dataclass(frozen=True)
class CheckedValues:
    """What is wrong with the values of a set of weights, and which of its matrices are nothing but zeros."""

    problem: str = ""
    is_zero: tuple[bool, ...] = ()


@cache
def check_values(files: tuple[Path, ...], stamps: tuple[tuple[Path, int, int, int], ...]) -> CheckedValues:
    """Reads a set of weights.  `stamps`: of the files, so that others under the same names are read anew."""
    tensors, is_zero = sorted(read_headers(files)), list[bool]()
    for name, tensor in zip(tensors, open_tensors(files, tensors), strict=True):
        values = tensor[...]
        if not values.is_floating_point() or values.element_size() == 1 or not values.numel() or IGNORABLE.search(name):
            continue
        largest = float(values.abs().max())  # NaN where any value is: twice as fast as a test of each
        if not isfinite(largest):
            return CheckedValues(f"{printable(name)} holds values that are no numbers (NaN or infinite): nothing can be scored")
        if largest > ABSURD:
            return CheckedValues(f"{printable(name)} holds values up to {largest:.0e}, which overflow: nothing can be scored")
        if values.ndim > 1:
            is_zero.append(largest == 0)
    return CheckedValues(is_zero=tuple(is_zero))
