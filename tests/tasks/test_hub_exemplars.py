"""Worked examples from the Hub are those of the authors' files."""

import json
from pathlib import Path

import pytest

from harness import registry
from tests.support.absent_data import absent_repositories, write_files
from tests.support.hub_server import serve_hub
from tests.test_hub_rows import run_client

READ_EXEMPLARS = """
import json, sys
from harness import registry
for name in json.load(sys.stdin):
    print(json.dumps([name, registry.task(name).fewshot(None)]))
"""


@pytest.mark.slow
def test_exemplars_from_the_hub_are_those_of_the_authors_files(tmp_path: Path) -> None:
    names = ["mmlu_pro", "mgsm", "mgsm_te"]
    with serve_hub(absent_repositories()) as address:
        exemplars = dict(run_client(READ_EXEMPLARS, names, address, tmp_path / "cache"))
    folder = write_files(tmp_path / "files")
    assert list(exemplars) == names
    for name in names:
        task = registry.task(name)
        assert task.fewshot
        assert exemplars[name] == json.loads(json.dumps(task.fewshot(folder)))
