"""A working folder with packages `tasks`, `reports` or `harness` of its own: this program's are found all the same."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.registry import command_line

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("tasks", "reports")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of a user who has packages of these names."""
    for package in NAMES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(f"OWNER = 'the user of {package}'\n")
        (tmp_path / package / "own.py").write_text("ANSWER = 42\n")
    return tmp_path


def run(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    """A process in the folder, which finds this program as where it is installed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["tasks", "reports"])
def test_the_command_line_lists_its_own_plug_ins(project: Path, what: str) -> None:
    skilldelta = [sys.executable, "-c", "from harness.cli import main; main()"]  # as a console script is
    usual = run(ROOT, [*command_line(), "list", what]).stdout
    for command in ([sys.executable, "-m", "harness"], [sys.executable, "-P", "-m", "harness"], command_line(), skilldelta):
        ended = run(project, [*command, "list", what])
        assert (ended.returncode, ended.stdout) == (0, usual), ended.stderr


@pytest.mark.slow
def test_a_package_named_harness_does_not_come_first_either(project: Path) -> None:
    (project / "harness").mkdir()
    (project / "harness" / "__init__.py").write_text("raise ImportError('not that harness')")
    ended = run(project, [*command_line(), "list", "tasks"])
    assert ended.returncode == 0, ended.stderr
    assert "gsm8k" in ended.stdout


SCRIPT = """
{first}
import harness
from harness import registry
task = registry.task("ifeval")
assert task.score.__module__ == "tasks.ifeval"
report = registry.module("reports", "table")
assert report.render
import tasks, reports, tasks.own
assert tasks.OWNER == "the user of tasks" and reports.OWNER == "the user of reports" and tasks.own.ANSWER == 42
assert registry.module("tasks", "ifeval").TASKS[0] is task
print(len(registry.tasks()))
"""


@pytest.mark.slow
@pytest.mark.parametrize("first", ["", "import tasks, reports.own"])
def test_a_script_has_its_own_packages_and_the_programs_tasks(project: Path, first: str) -> None:
    (project / "train.py").write_text(SCRIPT.format(first=first))
    ended = run(project, [sys.executable, "train.py"])
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > 20


@pytest.mark.slow
def test_the_api_scores_in_such_a_script(project: Path) -> None:
    (project / "train.py").write_text(
        "import tasks, harness\n"
        "from harness.api import Backend\n"
        "from harness.evaluation.questions import EvaluationSettings\n"
        "(outcome,) = harness.score(['org/model'], ['world_facts'], 'results', backend=Backend('scripted', {'text': 'x'}),\n"
        "                           settings=EvaluationSettings())\n"
        "assert outcome.state == 'done', outcome\n"
        "assert tasks.OWNER\n"
    )
    ended = run(project, [sys.executable, "train.py"])
    assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["packages", "files", "packages that raise"])
def test_reports_are_written_where_the_users_packages_come_first(project: Path, shape: str) -> None:
    for package in NAMES:
        if shape == "files":
            shutil.rmtree(project / package)
            (project / f"{package}.py").write_text("OWNER = 'the user'\n")
        elif shape == "packages that raise":
            (project / package / "__init__.py").write_text("raise RuntimeError('not for you')\n")
    (project / "run.py").write_text(
        "import sys\n"
        "from harness import api\n"
        "for name in ('base', 'dpo'):\n"
        "    api.score([f'org/{name}'], ['world_facts'], 'results', backend=api.Backend('scripted', {'text': 'x'}))\n"
        "from harness.cli import main\n"
        "sys.argv[1:] = ['compare', 'results', '--baseline', 'base', '-o', 'report']\n"
        "main()\n"
    )
    ended = run(project, [sys.executable, "run.py"])
    assert ended.returncode == 0, ended.stderr
    assert (project / "report" / "index.html").exists()
