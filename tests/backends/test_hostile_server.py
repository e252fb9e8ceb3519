"""Whatever a server replies, a request ends with an answer, an error of its own or an error of its cell: never with a hang, an
exception that is none of ours, the key, or a score for what is no answer."""

import pytest

from harness import http
from tests.hostile.command_runner import VARIABLE
from tests.support import hostile_server
from tests.support.hostile_server import ATTACKS, Attack
from tests.support.odd_replies import ODD_REPLIES


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv(VARIABLE, hostile_server.KEY)
    monkeypatch.setattr(http, "MAX_PAUSE", 0.01)


CASES = [
    pytest.param(attack, id=attack.name.encode("unicode_escape").decode(), marks=[] if place % 9 == 0 else [pytest.mark.slow])
    for place, attack in enumerate([*ATTACKS, *ODD_REPLIES])
]


@pytest.mark.slow
@pytest.mark.parametrize("attack", CASES)
def test_a_hostile_reply_is_an_error_of_its_request_or_cell(attack: Attack) -> None:
    ending = hostile_server.attack(attack)
    assert ending.kind in attack.wanted, ending.text
    assert ending.sound, "the answer that came before is lost"
    assert not ending.leaks, ending.text
    assert not ending.is_raw, repr(ending.text)
