"""What somebody's own file of tasks may hold: every odd value is an error of that task, which says what to write."""

import json
import os
import sys
from pathlib import Path

import pytest

from harness import registry
from harness.cli import main
from harness.types import Example, SkilldeltaError, Task
from tests.test_registry import OWN_TASK

FIELDS = {
    'name="a\\nb"': "the task 'a\\nb': write a name of letters and digits on one line",
    'name="\\x1b[31m"': "the task '\\x1b[31m': write a name of letters",
    'name=" "': "the task ' ': write a name",
    "name=5": "the task 5: name is 5: Input should be a valid string",
    "name=['a']": "name is ['a']: Input should be a valid string",
    "skill=None": "the task 'capitals': skill is None: Input should be a valid string",
    "version='newest'": "version is 'newest': Input should be a valid integer",
    "version=10**5000": "version is",
    "chance=float('nan')": "chance is nan: Input should be a finite number",
    "chance=25.0": "chance is 25: write the score of blind guessing, 0 to 1",
    "aggregate='median'": "aggregate is 'median': Input should be 'mean', 'macro' or 'f1'",
    "draws=0": "draws is 0: write 1 to 10,000",
    "draws=10**9": "draws is 1000000000: write 1 to 10,000",
    "pass_at=2": "pass_at is 2: write 0 to the number of draws, which is 1",
    "metrics='accuracy'": "metrics is 'accuracy': write a tuple of Metric(...)",
    "metrics=(Metric('a', 5),)": "part is 5: Input should be a valid string",
    "rows=[{}]": "rows is [{}]: write a function",
    "group='subject'": "group is 'subject': write a function",
}


def write_task(folder: Path, field: str) -> Path:
    """The task of the test, with some fields other than they were."""
    file = folder / "mine.py"
    file.write_text(
        f"from dataclasses import replace\nfrom harness.types import Metric\n{OWN_TASK}TASKS = (replace(TASKS[0], {field}),)\n"
    )
    return file


@pytest.mark.parametrize(("field", "fault"), FIELDS.items())
def test_an_odd_value_of_a_task_is_named_before_anything_is_asked(field: str, fault: str, tmp_path: Path) -> None:
    """Some ended the program as an error of its own, some poisoned the results folder, and draws=10**9 never ended."""
    with pytest.raises(SkilldeltaError) as error:
        registry.tasks([write_task(tmp_path, field)])
    assert fault in str(error.value)
    assert str(error.value).startswith(f"{tmp_path}/mine.py: the task ")
    assert str(error.value).isprintable()


def test_values_that_stand_for_others_are_taken_as_these(tmp_path: Path) -> None:
    task = registry.tasks([write_task(tmp_path, "metrics=[Metric('a', 'b')], chance=0")])["capitals"]
    assert (type(task.metrics), task.chance) == (tuple, 0.0)


def test_a_task_file_that_ends_the_program_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import sys\nsys.exit(0)\n" + OWN_TASK)
    with pytest.raises(SystemExit) as end:
        main(["score", "x/y", "-t", "capitals", "--include-path", str(file), "-o", str(tmp_path / "r")])
    assert end.value.code == 3
    assert "mine.py, line 2, fails: SystemExit: 0" in capsys.readouterr().err


@pytest.mark.parametrize("odd", ["a pipe", "a link to nothing", "an endless device"])
def test_lm_eval_is_not_given_a_folder_in_which_it_would_wait(odd: str, tmp_path: Path) -> None:
    """It reads every YAML file at or below the folder, whatever it is, to know the name of one."""
    (tmp_path / "mine.yaml").write_text("task: mine\n")
    (tmp_path / "below").mkdir()
    file = tmp_path / "below" / "other.yaml"
    if odd == "a pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero" if "device" in odd else "gone")
    with pytest.raises(SkilldeltaError, match=r"other\.yaml .*(pipe|device|not there)"):
        registry.task("lm-eval:mine", [tmp_path])


def test_a_folder_of_tasks_with_more_files_than_anybody_waits_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("x", "a/y", "a/b/z"):
        (tmp_path / name).touch()
    assert not list(registry.foreign_task_files(tmp_path))
    monkeypatch.setattr(registry, "MAX_BELOW", 5)
    with pytest.raises(SkilldeltaError, match="more than 5 files: name the tasks' own folder"):
        registry.tasks([tmp_path])


@pytest.mark.slow
def test_a_folder_that_the_system_makes_up_is_no_error_of_the_program() -> None:
    """Of the processes in it some end while it is read."""
    with pytest.raises(SkilldeltaError, match=r"--include-path /proc: "):
        registry.tasks([Path("/proc")])


def test_an_expression_without_end_is_an_error_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("x = " + "-" * 100_000 + "1\nTASKS = ()\n")
    with pytest.raises(SkilldeltaError, match=r"mine\.py.*, fails: (RecursionError|MemoryError)"):
        registry.tasks([tmp_path / "mine.py"])


IMPORTS = {  # what the file of tasks says, in a package or not
    "from .words import CITY": (True, False),
    "from . import words; CITY = words.CITY": (True, False),
    "from .deeper.more import CITY": (True,),
    "from .deeper import CITY": (True,),
    "from ours.words import CITY": (True,),
    "import ours.words; CITY = ours.words.CITY": (True,),
    "from words import CITY": (True, False),
    "import words; CITY = words.CITY": (True, False),
    "import deeper.more as m; CITY = m.CITY": (True, False),
    "from deeper import more; CITY = more.CITY": (True, False),
    "from words import *": (True, False),
}
FILES = {
    "words.py": "from json import dumps\nCITY = 'Paris'\n",
    "deeper/__init__.py": "from .more import CITY\n",
    "deeper/more.py": "import words\nCITY = words.CITY\n",
}


def write_folder(folder: Path, is_package: bool, files: dict[str, str]) -> Path:
    for name, text in (({"__init__.py": ""} if is_package else {}) | files).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def named(name: str, before: str) -> str:
    """The task of the test under a name, with its answer in CITY."""
    return f"{before}\n{OWN_TASK.replace('capitals', name)}".replace('"Paris"', "CITY")


def ideal(task: Task) -> str:
    return task.ideal(Example({})).text


@pytest.mark.parametrize(("line", "is_package"), [(line, kind) for line, kinds in IMPORTS.items() for kind in kinds])
def test_files_of_a_folder_share_code(line: str, is_package: bool, tmp_path: Path) -> None:
    files = FILES | {"deeper/more.py": "from ..words import CITY\n" if is_package else FILES["deeper/more.py"]}
    folder = write_folder(
        tmp_path / "ours", is_package, {**files, "mine.py": named("one", line), "other.py": named("two", line)}
    )
    before = dict(sys.modules)
    for path in (folder, folder / "mine.py"):
        tasks = registry.tasks([path])
        assert ideal(tasks["one"]) == "Paris"
    assert ideal(registry.tasks([folder])["two"]) == "Paris"
    assert not {"words", "deeper", "ours", "mine"} & (sys.modules.keys() - before.keys())


def test_a_file_of_a_folder_stands_for_no_module_that_is_installed(tmp_path: Path) -> None:
    """Neither for this project's."""
    false = dict.fromkeys(
        ("json.py", "yaml.py", "colorsys.py", "tasks/__init__.py", "harness/__init__.py"), "raise OSError('not this')\n"
    )
    text = named("one", "import json, yaml, colorsys, tasks.gsm8k\nCITY = json.loads(yaml.safe_load('\\'\"Rome\"\\''))")
    for is_package in (True, False):
        folder = write_folder(tmp_path / f"ours{is_package}", is_package, {**false, "mine.py": text})
        assert ideal(registry.tasks([folder])["one"]) == "Rome"
    assert json.loads("5") == 5


def test_a_library_finds_no_file_of_such_a_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, False, {"words.py": "CITY = 'Rome'\n", "mine.py": named("one", "from words import CITY")})
    assert ideal(registry.tasks([folder])["one"]) == "Rome"
    with pytest.raises(ModuleNotFoundError):
        __import__("words")


def test_two_folders_may_have_files_of_one_name(tmp_path: Path) -> None:
    folders = [
        write_folder(
            tmp_path / city,
            is_package,
            {"words.py": f"CITY = '{city}'\n", "mine.py": named(city, f"from {dot}words import CITY")},
        )
        for city, is_package, dot in (("Rome", True, "."), ("Oslo", False, ""), ("Bern", True, ""))
    ]
    tasks = registry.tasks(folders)
    assert [ideal(tasks[city]) for city in ("Rome", "Oslo", "Bern")] == ["Rome", "Oslo", "Bern"]


def test_an_import_inside_a_function_finds_the_file_too_and_a_changed_file_is_read_again(tmp_path: Path) -> None:
    text = (
        OWN_TASK.replace('Response("Paris")', "answer()")
        + "\ndef answer():\n    from words import CITY\n    return Response(CITY)\n"
    )
    folder = write_folder(tmp_path, False, {"words.py": "CITY = 'Rome'\n", "mine.py": text})
    assert ideal(registry.tasks([folder])["capitals"]) == "Rome"
    (folder / "words.py").write_text("CITY = 'Canberra'\n")
    assert ideal(registry.tasks([folder])["capitals"]) == "Canberra"


def test_a_file_below_a_package_reaches_its_parent(tmp_path: Path) -> None:
    write_folder(tmp_path / "ours", True, {"words.py": "CITY = 'Rome'\n", "ours_too.py": ""})
    folder = write_folder(tmp_path / "ours" / "geo", True, {"mine.py": named("one", "from ..words import CITY")})
    assert ideal(registry.tasks([folder])["one"]) == "Rome"
    (folder / "__init__.py").write_text(named("two", "from ours.words import CITY"))
    assert ideal(registry.tasks([folder])["two"]) == "Rome"


def test_what_a_shared_file_does_wrong_is_an_error_of_the_file_that_imports_it(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, True, {"words.py": "1 / 0\n", "mine.py": named("one", "\nfrom .words import CITY")})
    with pytest.raises(SkilldeltaError, match=r"mine\.py, line 2, fails: ZeroDivisionError"):
        registry.tasks([folder])
    (folder / "words.py").write_text("TOWN = 5\n")
    with pytest.raises(SkilldeltaError, match=r"mine\.py, line 2, fails: ImportError: cannot import name 'CITY'"):
        registry.tasks([folder])
    (folder / "mine.py").write_text(named("one", "import no_such_module\nCITY = 5"))
    with pytest.raises(
        SkilldeltaError, match=r"mine\.py, line 1, fails: ModuleNotFoundError: No module named 'no_such_module'"
    ):
        registry.tasks([folder])
