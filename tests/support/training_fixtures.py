"""Fixtures of the trainers' tests."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.support.training_toy import chat, make_model, preference


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny model."""
    return make_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Iterable[Any]], str]:
    """Writes rows as a .jsonl file and gives its name."""

    def rows(name: str, values: Iterable[Any]) -> str:
        path = tmp_path / name
        path.write_text("".join(json.dumps(v) + "\n" for v in values), encoding="utf-8")
        return str(path)

    return rows


@pytest.fixture
def chats(write: Callable[[str, Iterable[Any]], str]) -> str:
    return write("chats.jsonl", (chat(i) for i in range(64)))


@pytest.fixture
def pairs(write: Callable[[str, Iterable[Any]], str]) -> str:
    return write("pairs.jsonl", (preference(i) for i in range(64)))
