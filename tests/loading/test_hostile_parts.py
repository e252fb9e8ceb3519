"""Parts of a checkpoint that hurt whoever loads them: tokenizers that grow, kernels from the Hub, headers that lie."""

import contextlib
import json
import logging
import warnings
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness import integrity
from harness.backends.transformers import TransformersOptions, load
from harness.checkpoint_folders import describe_adapter
from harness.integrity import BrokenWeightsError, find_file_problem
from harness.library_messages import make_libraries_printable
from harness.loading import adapter_patterns
from harness.loading import tokenizer as loaded_tokenizers
from harness.loading.adapter_patterns import find_patterns, require_bounded_patterns
from harness.loading.headers import pickled_headers
from harness.loading.whole_model import find_remote_kernels, refuse_absurd_counts
from harness.types import Checkpoint, SkilldeltaError
from harness.visible_text import without_credentials
from tests.support import tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("model")
    return tiny.llama(place, hidden_size=8, intermediate_size=8, num_hidden_layers=1, vocabulary=300)


def change(file: Path, values: dict[str, Any]) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def load_changed(folder: Path, tmp_path: Path, name: str, values: dict[str, Any]) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    change(tmp_path / name, values)
    load(Checkpoint("m", str(tmp_path), "transformers"), TransformersOptions(device="cpu"))


@pytest.mark.slow
def test_a_tokenizer_that_multiplies_a_text_is_refused_before_it_takes_the_memory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_tokenizers, "SECONDS", 0.5)
    grow = {"type": "Replace", "pattern": {"Regex": "."}, "content": "abcdefghij"}
    normalizer = {"type": "Sequence", "normalizers": [grow] * 8}
    with pytest.raises(SkilldeltaError, match=r"more than 0 s or 1024 MiB for a text of [\d,]+ letters"):
        load_changed(folder, tmp_path, "tokenizer.json", {"normalizer": normalizer})


def test_a_config_that_names_kernels_of_the_hub_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SkilldeltaError, match=r"names code of the Hub \(somebody/attention\)"):
        load_changed(folder, tmp_path, "config.json", {"_attn_implementation": "somebody/attention"})
    assert find_remote_kernels({"text_config": {"_experts_implementation": "a/b"}}) == "a/b"
    assert find_remote_kernels({"_attn_implementation": "sdpa", "_name_or_path": "a/b", "id2label": {0: "a/b"}}) == ""


Header = dict[str, Any]


def overlap(header: Header) -> None:
    header["b"]["data_offsets"] = [0, 4]
    header["c"]["data_offsets"] = [4, 8]


def leave_out(header: Header) -> None:
    header["b"]["data_offsets"] = [5, 9]


def begin_late(header: Header) -> None:
    for name in header:
        header[name]["data_offsets"] = [place + 4 for place in header[name]["data_offsets"]]


def no_change(header: Header) -> None:
    pass


@pytest.mark.parametrize("lie", [overlap, leave_out, begin_late, no_change])
def test_tensors_that_share_bytes_or_leave_some_out_are_damaged(lie: Any, tmp_path: Path) -> None:
    header: Header = {name: {"dtype": "F32", "shape": [1], "data_offsets": [4 * i, 4 * i + 4]} for i, name in enumerate("abc")}
    header["none"] = {"dtype": "F32", "shape": [0], "data_offsets": [4, 4]}
    lie(header)
    write_weights(tmp_path / "model.safetensors", json.dumps(header), max(v["data_offsets"][1] for v in header.values()))
    problem = find_file_problem(tmp_path / "model.safetensors")
    assert problem == ("" if lie is no_change else "model.safetensors has a damaged header")


def test_a_tensor_that_is_there_twice_is_damage(tmp_path: Path) -> None:
    one = '"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}'
    write_weights(tmp_path / "model.safetensors", f"{{{one}, {one}}}", 4)
    assert "damaged header" in find_file_problem(tmp_path / "model.safetensors")


def write_weights(file: Path, header: str, size: int) -> None:
    content = header.encode()
    file.write_bytes(len(content).to_bytes(8, "little") + content + b"\0" * size)


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": r"((\w|\.)+)+$x"},
        {"exclude_modules": r"(\w+\.?)+$x"},
        {"layers_pattern": ["layers", r"(\w+\.?)+$x"]},
        {"rank_pattern": {"q_proj": 8, r"((\w|\.)+)+$x": 4}},
        {"alpha_pattern": {r"(([a-z_.]|\d)*)*x": 4}},
    ],
    ids=str,
)
def test_expressions_are_taken_from_every_setting_that_may_have_one(settings: dict[str, Any]) -> None:
    assert len(list(find_patterns(SimpleNamespace(**settings)))) == 1


@pytest.mark.slow
def test_an_expression_of_an_adapter_that_does_not_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter_patterns, "SECONDS", 0.1)
    settings = {"target_modules": r"((\w|\.)+)+$x"}
    names = ["model.layers.0.self_attn.q_proj.a_long_name_of_a_module_that_matches_in_many_ways"]
    with pytest.raises(BrokenWeightsError, match="does not end"):
        require_bounded_patterns(SimpleNamespace(**settings), names)


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["q_proj"]},
        {"target_modules": "all-linear"},
        {"target_modules": r".*\.q_proj"},
        {"target_modules": "["},
    ],
    ids=str,
)
def test_other_expressions_and_what_is_none_are_left_to_peft(settings: dict[str, Any]) -> None:
    require_bounded_patterns(SimpleNamespace(**settings), ["model.q_proj"])


@pytest.mark.parametrize(
    ("base", "shown"),
    [
        ("https://me:sk-SECRET@host/model?token=sk-SECRET#x", "https://host/model"),
        ("//sk-SECRET@host/m", "//host/m"),
        ("git+ssh://git@host/m", "git+ssh://host/m"),
        ("org/model@revision", "org/model@revision"),
        ("../what?", "../what?"),
        (5, 5),
    ],
)
def test_addresses_lose_their_secrets_and_names_stay(base: object, shown: object, tmp_path: Path) -> None:
    assert without_credentials(base) == shown
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base, "peft_type": "LORA"}))
    assert "SECRET" not in repr(describe_adapter(tmp_path, "a"))


def write_header(file: Path, header: bytes) -> Path:
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    return file


@pytest.mark.parametrize(
    "header",
    [
        b"{%s}" % b",".join(b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % i for i in range(12)),
        b'{"a":[%s]}' % b",".join([b"[]"] * 60),
        b"{%s}" % b",".join(b'"%d":0' % i for i in range(250)),
    ],
)
def test_a_header_of_more_tensors_than_any_model_has_is_not_parsed(
    header: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrity, "MAX_TENSORS", 10)
    monkeypatch.setattr(integrity, "SLACK", 2)
    monkeypatch.setattr(integrity, "parse_header", lambda text: pytest.fail("it was parsed"))
    with pytest.raises(ValueError, match="has a header of more than 10 tensors"):
        integrity.read_header(write_header(tmp_path / "model.safetensors", header))


def test_a_header_is_parsed_once_and_anew_where_its_bytes_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []
    monkeypatch.setattr(integrity, "decode_json", lambda text, once: (parsed.append(1), json.loads(text))[1])
    header = b'{"%s":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
    file = tmp_path / "model.safetensors"
    for name in (b"one", b"one", b"two"):
        assert list(integrity.read_header(write_header(file, header % (name + str(tmp_path).encode())))) == [
            (name + str(tmp_path).encode()).decode()
        ]
    assert len(parsed) == 2


@pytest.mark.parametrize(
    "values",
    [{"num_labels": 10**9}, {"num_hidden_layers": 10**9}, {"text_config": {"num_local_experts": 10**12}}, {"n_layer": 10**9}],
)
def test_a_config_of_absurd_counts_is_refused_before_it_is_built(folder: Path, tmp_path: Path, values: dict[str, Any]) -> None:
    """transformers would make a name for each of a billion labels."""
    with pytest.raises(SkilldeltaError, match=r"config\.json cannot be used: n\w+ is 10+"):
        load_changed(folder, tmp_path, "config.json", values)


def test_counts_that_models_have_are_not_refused() -> None:
    refuse_absurd_counts({"num_labels": 100_000, "n_positions": 10**7, "vocab_size": 10**7, "num_hidden_layers": None})


def test_what_a_library_logs_moves_no_cursor(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_libraries_printable()
    with pytest.raises(SkilldeltaError):
        load_changed(folder, tmp_path, "config.json", {"rope_scaling": {"rope_type": "\x1b[31m", "factor": 2.0}})
    shown = capfd.readouterr()
    assert "\x1b" not in shown.out + shown.err


def test_logs_and_warnings_are_shown_line_by_line() -> None:
    make_libraries_printable()
    record = logging.getLogRecordFactory()("x", logging.INFO, "f", 1, "for %s\nand more", ("\x1b[2J",), None)
    assert record.getMessage() == "for \\x1b[2J\nand more"
    assert "\\x1b[2J" in warnings.formatwarning(UserWarning("a \x1b[2J"), UserWarning, "f", 1)


@pytest.mark.parametrize("is_archive", [True, False], ids=["as an archive", "as one pickle"])
def test_damaged_files_of_torch_are_broken_weights_whatever_their_reader_raises(is_archive: bool, tmp_path: Path) -> None:
    file, random = tmp_path / "pytorch_model.bin", Random(0)
    torch.save({"a": torch.zeros(3)}, file, _use_new_zipfile_serialization=is_archive)
    sound = file.read_bytes()
    damaged = [b"\x80\xff.", b"e.", b"\x80\x02h\xff.", b"\x80\x02}q\x00K\x01K\x01s."]
    for _ in range(150):
        place, size = random.randrange(len(sound)), random.randrange(3)
        damaged.append(sound[:place] + random.randbytes(size) + sound[place + random.choice((size, 40, len(sound))) :])
    torch.save({1: torch.zeros(3)}, file)
    seen = set()
    for content in (file.read_bytes(), *damaged):
        file.write_bytes(content)
        with contextlib.suppress(BrokenWeightsError), warnings.catch_warnings(action="ignore"):
            assert all(isinstance(name, str) for name in pickled_headers(file))
            continue
        seen.add(content)
    assert len(seen) > len(damaged) / 2  # most of them are damaged where it is read
