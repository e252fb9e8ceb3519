"""What the page on run folders shows of each program is what discovery finds."""

import json
import re
from pathlib import Path

import pytest

from harness import discovery
from tests.checkpoints.test_discovery import weights

PAGE = Path(__file__).resolve().parents[2] / "harness" / "docs" / "run-folders.md"
PROGRAMS = ("TRL", "OpenRLHF", "verl", "open-instruct", "axolotl", "LLaMA-Factory", "unsloth", "a bare folder")


def read_layouts() -> dict[str, tuple[list[str], list[str]]]:
    """Of each program's block its folders and the names that are found."""
    text = PAGE.read_text(encoding="utf-8").split("## What each program leaves", 1)[1]
    (block,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)[:1]
    layouts = {}
    for part in block.strip().split("\n\n"):
        title, *lines = part.splitlines()
        arrow = lines.index("->")
        layouts[title] = ([line.strip() for line in lines[:arrow]], [line.strip() for line in lines[arrow + 1 :]])
    return layouts


LAYOUTS = read_layouts()


def write_file(path: Path, base: Path) -> None:
    kind, _, name = path.name.rpartition(":")
    file = path.with_name(name)
    if name == "config.json":
        head = "LlamaForSequenceClassification" if kind == "reward" else "LlamaForCausalLM"
        file.write_text(json.dumps({"architectures": [head], "model_type": "llama"}))
    elif name == "adapter_config.json":
        file.write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": str(base)}))
    elif name == "trainer_state.json":
        file.write_text(json.dumps({"global_step": 1, "log_history": []}))
    elif name.endswith(".safetensors"):
        weights(file)
    else:
        file.write_text("")


def lay_out(root: Path, folders: list[str]) -> Path:
    """Makes the folders, each with the files in its braces; the folder that holds them."""
    base = root / "base"
    base.mkdir()
    for name in ("config.json", "model.safetensors"):
        write_file(base / name, base)
    for line in folders:
        folder, files = re.fullmatch(r"(\S+)/\{(.*)\}", line).groups()  # type: ignore[union-attr]
        (root / "work" / folder).mkdir(parents=True, exist_ok=True)
        for name in files.split(", "):
            if name.endswith(".gguf"):
                (root / "work" / folder / name).write_bytes(b"GGUF")
            else:
                write_file(root / "work" / folder / name, "" if name.startswith("nameless:") else base)  # type: ignore[arg-type]
    return root / "work"


@pytest.mark.parametrize("title", LAYOUTS)
def test_what_the_page_says_is_found(title: str, tmp_path: Path) -> None:
    folders, names = LAYOUTS[title]
    found = discovery.find_checkpoints([str(lay_out(tmp_path, folders))])
    assert [f"{'!' if c.problem else ''}{c.name}" for c in found] == names, [c.problem for c in found]


def test_the_page_shows_every_program() -> None:
    assert all(any(title.startswith(program) for title in LAYOUTS) for program in PROGRAMS)
