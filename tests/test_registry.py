"""Plug-ins are found by their hook, with its parameters."""

import os
import shutil
from pathlib import Path

import pytest

from harness import registry
from harness.cli import main

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the backends' folder, in place of the real one."""
    shutil.copytree(ROOT / "harness" / "backends", tmp_path / "harness" / "backends")
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    return tmp_path / "harness" / "backends"


BACKEND = '''"""Says nothing."""


def load(checkpoint, options):
    return checkpoint
'''


def test_a_file_with_the_hook_is_a_plug_in(house: Path) -> None:
    before = registry.modules("backends")
    (house / "silent.py").write_text(BACKEND)
    assert registry.modules("backends") == sorted([*before, "silent"])
    assert registry.about("backends", "silent") == "Says nothing."


def test_a_hook_may_take_its_parameters_by_place_alone(house: Path) -> None:
    (house / "silent.py").write_text(BACKEND.replace("options)", "options, /)"))
    assert "silent" in registry.modules("backends")


@pytest.mark.parametrize("content", [BACKEND.replace("options)", "options").encode(), BACKEND.encode("utf-16"), b"load\0"])
def test_a_file_that_is_no_python_is_named(house: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """It ended every command as an error of this program."""
    (house / "half.py").write_bytes(content)
    with pytest.raises(SystemExit, match="3"):
        main(["list", "backends"])
    error = capsys.readouterr().err
    assert f"{house}/half.py is no Python" in error.replace("\n", "")
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("tokenizers.py", '"""Loads a tokenizer."""\n\n\ndef load(path):\n    return path\n'),
        ("_silent.py", BACKEND),
        ("talk.py", f"TEXT = '''\n{BACKEND}'''\n"),
        ("inner.py", "class A:\n    def load(checkpoint, options):\n        return checkpoint\n"),
    ],
)
def test_a_helper_is_none(house: Path, file: str, text: str) -> None:
    before = registry.modules("backends")
    (house / file).write_text(text)
    assert registry.modules("backends") == before


@pytest.mark.parametrize("kind", ["backends", "trainers", "judges", "producers"])
def test_every_file_of_a_folder_of_one_kind_is_a_plug_in(kind: str) -> None:
    folder = registry.KINDS[kind].folder
    assert registry.modules(kind) == sorted(f.stem for f in folder.glob("*.py") if not f.stem.startswith("_"))


OWN_TASK = """
from harness.types import Request, Response, Score, Task

TASKS = (Task(
    name="capitals", skill="factuality", version=1, source="made for this test", rows=lambda folder: [{"q": "France?"}],
    ask=lambda e: Request(e.row["q"]), score=lambda e, r: Score(float(r.text == "Paris")), ideal=lambda e: Response("Paris"),
),)
"""


def test_rescoring_a_task_of_ones_own_names_the_flag_that_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(OWN_TASK)
    include = ["--include-path", "mine.py"]
    commands = (
        (["score", "x/y", "-t", "capitals", *include, "--backend", "scripted", "--backend-args", "text=Paris", "-o", "r"], 0),
        (["rescore", "r"], 3),
        (["rescore", "r", *include], 0),
    )
    for command, code in commands:
        with pytest.raises(SystemExit) as end:
            main(command)
        assert end.value.code == code
        error = capsys.readouterr().err
        if code:
            assert "'capitals'" in error
            assert "r holds the task 'capitals', which no file of this program defines" in error
            assert "which `score` was given as --include-path" in error
            assert "skilldelta rescore r --include-path FILE" in error
            assert "lm-eval:NAME" not in error


@pytest.mark.parametrize("name", ["tasks.py", "tasks.yaml"])
def test_a_pipe_among_tasks_is_never_waited_for(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(SystemExit) as end:
        main(["list", "tasks", "--include-path", str(tmp_path)])
    assert end.value.code in (0, 3)
    assert name.endswith("yaml") or "is a pipe, not a file" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("import nothing_like_this\nTASKS = ()\n", "line 1, fails: ModuleNotFoundError: No module named 'nothing_like_this'"),
        ("\nTASKS = (1 / 0,)\n", "line 2, fails: ZeroDivisionError"),
        ("\n\nTASKS = (\n", "line 3, fails: SyntaxError"),
        ("import json\nTASKS = (json.loads('['),)\n", "line 2, fails: JSONDecodeError"),
        ("from harness.types import Task\nTASKS = (Task(name='x'),)\n", "line 2, fails: TypeError: Task.__init__() missing"),
        ("TASKS = {'a': 1}\n", "TASKS holds other things than tasks"),
        ("TASKS = ('a',)\n", "TASKS holds other things than tasks"),
        ("TASKS = None\n", "TASKS holds other things than tasks"),
        ("TASKS = ()\n", "TASKS is empty"),
        ("TASKS = ()\ndel TASKS\n", "TASKS holds other things than tasks"),
        ("import sys\nsys.exit(0)\nTASKS = ()\n", "line 2, fails: SystemExit: 0"),
    ],
)
def test_a_task_file_that_fails_is_named_with_its_line(
    text: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the name that the user gave it; it is no error of the program."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(text)
    for place in ("mine.py", "."):
        with pytest.raises(SystemExit) as end:
            main(["list", "tasks", "--include-path", place])
        error = capsys.readouterr().err
        assert end.value.code == 3
        assert error.startswith("skilldelta: mine.py")
        assert fault in error
