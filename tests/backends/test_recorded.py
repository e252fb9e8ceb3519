"""Recorded outputs: reading every format, finding the example, and saying what found none."""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.backends.recorded import NOT_RECORDED, RecordedModel, RecordedOptions, load
from harness.interchange import recorded_outputs
from harness.interchange.output_pairing import pair_outputs
from harness.types import Checkpoint, Example, Json, Request, Response, SkilldeltaError

ROWS: list[Json] = [{"question": f"What is {n} plus {n}?", "answer": str(2 * n)} for n in range(5)]


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def examples(rows: list[Json] = ROWS) -> list[Example]:
    return [Example(row) for row in rows]


def requests(found: list[Example], **changes: Any) -> list[Request]:
    return [Request(f"Answer.\n\nQ: {e.row.get('question', e.row.get('prompt'))}", **changes) for e in found]


def texts(path: Path, rows: list[Json] = ROWS, **options: str) -> list[str]:
    """What each example gets from the file; its error where it gets none."""
    model = load(Checkpoint("them", "", "recorded"), RecordedOptions((str(path),), **options))
    found = examples(rows)
    model.align("sums", found, requests(found))
    answers = dict(model.answer(requests(found)))
    return [answers[i].text if answers[i].finish == "stop" else answers[i].error for i in range(len(found))]


@pytest.mark.parametrize("key", ["id", "example"])
def test_json_lines_by_id_are_paired_whatever_their_order(key: str, tmp_path: Path) -> None:
    lines = [{key: e.id, "response": f"said {i}"} for i, e in enumerate(examples())]
    assert texts(write(tmp_path / "out.jsonl", lines[::-1])) == [f"said {i}" for i in range(5)]


@pytest.mark.parametrize("column", ["prompt", "instruction", "question", "input"])
@pytest.mark.parametrize("output", ["response", "completion", "output", "model_output"])
def test_a_table_pairs_by_the_question(column: str, output: str, tmp_path: Path) -> None:
    lines = [{column: row["question"], output: f"said {i}"} for i, row in enumerate(ROWS)]
    assert texts(write(tmp_path / "out.jsonl", lines)) == [f"said {i}" for i in range(5)]


def test_a_table_pairs_by_the_whole_prompt(tmp_path: Path) -> None:
    lines = [{"prompt": f"Answer.\n\nQ: {row['question']}", "response": f"said {i}"} for i, row in enumerate(ROWS)]
    assert texts(write(tmp_path / "out.jsonl", lines)) == [f"said {i}" for i in range(5)]


def test_csv_json_and_compressed_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text('prompt,completion\n"What is 0 plus 0?","zero,\nI think"\n')
    assert texts(tmp_path / "out.csv")[0] == "zero,\nI think"
    (tmp_path / "out.json").write_text(json.dumps([{"instruction": "What is 1 plus 1?", "output": "two"}]))
    assert texts(tmp_path / "out.json")[1] == "two"
    (tmp_path / "out.jsonl.gz").write_bytes(gzip.compress(b'{"question": "What is 2 plus 2?", "response": "four"}\n'))
    assert texts(tmp_path / "out.jsonl.gz")[2] == "four"


def test_what_is_missing_is_no_silent_answer(tmp_path: Path) -> None:
    lines = [{"question": ROWS[0]["question"], "response": ""}, {"question": ROWS[1]["question"], "response": None}]
    assert texts(write(tmp_path / "out.jsonl", lines))[:3] == ["", NOT_RECORDED, NOT_RECORDED]


def test_what_is_missing_or_left_over_is_counted_and_named(tmp_path: Path) -> None:
    lines = [{"question": row["question"], "response": "?"} for row in ROWS[:3]] + [{"question": "Else?", "response": "!"}]
    model = load(Checkpoint("them", "", "recorded"), RecordedOptions((str(write(tmp_path / "out.jsonl", lines)),)))
    model.align("sums", examples(), requests(examples()))
    assert model.note == (
        "no recorded output for 2 of 5 requests; outputs that answer no example: 1 (the first answers: 'Else?')"
    )


def test_a_file_for_another_task_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "out.jsonl", [{"question": "Else?", "response": "!"}])
    with pytest.raises(
        SkilldeltaError, match=r"None of the 1 recorded outputs answers one of the 5 examples of sums.*\n.*'Else\?'"
    ):
        texts(file)


def test_several_outputs_of_a_prompt_are_its_draws(tmp_path: Path) -> None:
    lines = [{"question": ROWS[0]["question"], "response": f"draw {d}"} for d in range(3)]
    lines += [{"question": ROWS[1]["question"], "response": ["first", "second"]}]
    model = load(Checkpoint("them", "", "recorded"), RecordedOptions((str(write(tmp_path / "out.jsonl", lines)),)))
    found = [e for e in examples(ROWS[:2]) for _ in range(3)]
    asked = [Request(f"Q: {e.row['question']}", draw=i % 3) for i, e in enumerate(found)]
    model.align("sums", found, asked)
    answers = dict(model.answer(asked))
    assert [answers[i].text for i in range(5)] == ["draw 0", "draw 1", "draw 2", "first", "second"]
    assert answers[5] == Response(finish="error", error="no recorded output of draw 3")
    assert model.note == "no recorded output for 1 of 6 requests"
    model.align("sums", found[::3], asked[::3])
    assert model.note == "further outputs for the same prompts, beyond the draws asked for: 3"


def test_the_same_request_gets_the_same_answer_in_any_block(tmp_path: Path) -> None:
    lines = [{"question": row["question"], "response": f"said {i}"} for i, row in enumerate(ROWS)]
    model = load(Checkpoint("them", "", "recorded"), RecordedOptions((str(write(tmp_path / "out.jsonl", lines)),)))
    asked = requests(examples())
    model.align("sums", examples(), asked)
    assert [r for _, r in model.answer(asked)][3:] == [r for _, r in model.answer(asked[3:])]


def test_a_question_that_different_rows_share_is_not_guessed(tmp_path: Path) -> None:
    rows: list[Json] = [{"question": "Which is true?", "choices": list(pair_), "answer": 0} for pair_ in ("ab", "cd")]
    file = write(tmp_path / "out.jsonl", [{"question": "Which is true?", "response": "a"}])
    pairing = pair_outputs(recorded_outputs.read_recorded(file), examples(rows), requests(examples(rows)))
    assert (pairing.missing, pairing.ambiguous, len(pairing.leftovers)) == (2, 1, 1)
    lines = [{"question": "Which is true?", "choices": row["choices"], "response": row["choices"][1]} for row in rows[::-1]]
    both = recorded_outputs.read_recorded(write(tmp_path / "both.jsonl", lines))
    found = pair_outputs(both, examples(rows), requests(examples(rows))).outputs
    assert [[r.response.text for r in records] for records in found] == [["b"], ["d"]]


def test_a_number_next_to_a_prompt_is_no_id(tmp_path: Path) -> None:
    rows: list[Json] = [{"id": str(n), "prompt": f"Prompt number {n}"} for n in range(3)]
    strange = write(tmp_path / "strange.jsonl", [{"id": 1, "prompt": "Of another benchmark", "response": "no"}])
    with pytest.raises(SkilldeltaError, match="None of the 1"):
        texts(strange, rows)
    assert texts(write(tmp_path / "bare.jsonl", [{"id": 0, "response": "yes"}]), rows) == ["yes", NOT_RECORDED, NOT_RECORDED]


LONG = "Write a letter of {} words to the owner of the house at the end of the street, and use no commas in it."


@pytest.mark.parametrize(
    ("said", "expected"),
    [(LONG.format("nearly two hundred"), "1"), ("Tell me a joke about a horse that cannot count.", NOT_RECORDED)],
)
def test_a_reworded_prompt_between_its_neighbours_is_paired_and_noted(said: str, expected: str, tmp_path: Path) -> None:
    rows: list[Json] = [{"prompt": LONG.format(n)} for n in ("a hundred", "two hundred", "three hundred")]
    lines = [{"prompt": p, "response": str(i)} for i, p in enumerate([rows[0]["prompt"], said, rows[2]["prompt"]])]
    file = write(tmp_path / "out.jsonl", lines)
    assert texts(file, rows) == ["0", expected, "2"]
    swapped = write(tmp_path / "swapped.jsonl", [lines[1], lines[0], lines[2]])
    assert texts(swapped, rows) == ["0", NOT_RECORDED, "2"]


def test_a_file_of_several_models_asks_which(tmp_path: Path) -> None:
    lines = [{"question": row["question"], "small": {"solution": "s"}, "big": {"solution": "b"}} for row in ROWS]
    file = write(tmp_path / "out.jsonl", lines)
    assert texts(file, model="big") == ["b"] * 5
    with pytest.raises(SkilldeltaError, match=r"2 models; choose one with model=NAME\. There are: small, big"):
        texts(file)
    with pytest.raises(SkilldeltaError, match="Did you mean 'big'"):
        texts(file, model="bigg")


def test_a_table_of_several_generators_gives_the_one_named(tmp_path: Path) -> None:
    lines = [{"instruction": row["question"], "output": g, "generator": g} for row in ROWS for g in ("small", "big")]
    file = write(tmp_path / "out.jsonl", lines)
    assert texts(file, model="big") == ["big"] * 5
    with pytest.raises(SkilldeltaError, match=r"2 models; choose one with model=NAME\. There are: small, big"):
        texts(file)  # both would pass for draws of one model
    alone = [{name: value for name, value in line.items() if name != "generator"} for line in lines[::2]]
    assert texts(write(tmp_path / "alone.jsonl", [*alone[:4], lines[8]])) == ["small"] * 5


def sample(doc_id: int, **changes: Any) -> dict[str, Any]:
    row = ROWS[doc_id]
    return {"doc_id": doc_id, "doc": dict(row), "arguments": {}, "resps": [[f"said {doc_id}"]], "filter": "none"} | changes


def test_lm_eval_samples_give_one_response_for_all_filters_of_a_document(tmp_path: Path) -> None:
    lines = [sample(i, filter=f, filtered_resps=[f]) for f in ("strict-match", "flexible-extract") for i in range(5)]
    file = write(tmp_path / "samples_sums.jsonl", lines)
    assert len(recorded_outputs.read_recorded(file)) == 5
    assert texts(file) == [f"said {i}" for i in range(5)]


def test_lm_eval_repeats_are_draws(tmp_path: Path) -> None:
    file = write(tmp_path / "samples_sums.jsonl", [sample(0, resps=[["first", "second"]])])
    assert [r.response.text for r in recorded_outputs.read_recorded(file)] == ["first", "second"]


@pytest.mark.parametrize("as_text", [True, False])
def test_lm_eval_log_likelihoods_come_in_the_order_of_our_choices(as_text: bool, tmp_path: Path) -> None:
    said = [[["-1.5", "False"]], [["-0.5", "True"]]] if as_text else [[[-1.5, False]], [[-0.5, True]]]
    given = {f"gen_args_{i}": {"arg_0": "Q: ...", "arg_1": f" {c}"} for i, c in enumerate("BA")}
    file = write(tmp_path / "samples_sums.jsonl", [sample(0, resps=said, arguments=given)])
    model = RecordedModel(recorded_outputs.read_recorded(file))
    for choices, expected in (
        ((" A", " B"), Response(logprobs=(-0.5, -1.5), greedy=(True, False))),
        ((" A", " C"), Response(finish="error", error="the recorded log-probabilities are of other choices")),
    ):
        asked = requests(examples(), choices=choices)
        model.align("sums", examples(), asked)
        assert dict(model.answer(asked))[0] == expected


LM_EVAL_TASKS = {
    "sums": """
output_type: generate_until
repeats: 2
generation_kwargs: {until: ["Q:"]}
doc_to_target: "{{answer}}"
filter_list:
  - {name: one, filter: [{function: take_first}]}
  - {name: two, filter: [{function: take_first}]}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
""",
    "picks": """
output_type: multiple_choice
doc_to_target: 0
doc_to_choice: ["yes", "no"]
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
""",
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_samples_that_lm_eval_itself_writes_are_read(tmp_path: Path) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    rows = write(tmp_path / "rows.jsonl", ROWS)
    for name, text in LM_EVAL_TASKS.items():
        where = f"dataset_path: json\ndataset_kwargs: {{data_files: {{test: {rows}}}}}\ntest_split: test\n"
        (tmp_path / f"{name}.yaml").write_text(f"task: {name}\n{where}doc_to_text: 'Q: {{{{question}}}}'\n{text}")
    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
    ran = simple_evaluate(
        model="dummy",
        tasks=list(LM_EVAL_TASKS),
        task_manager=manager,
        log_samples=True,
        bootstrap_iters=0,
        cache_requests=False,
    )
    tracker = EvaluationTracker(output_path=str(tmp_path / "out"))
    said = ran.pop("samples")
    tracker.save_results_aggregated(results=ran, samples=said)
    for name in LM_EVAL_TASKS:
        tracker.save_results_samples(task_name=name, samples=said[name])
    [sums], [picks] = ([*(tmp_path / "out").rglob(f"samples_{name}_*.jsonl")] for name in LM_EVAL_TASKS)
    found = examples()
    answers = pair_outputs(recorded_outputs.read_recorded(sums), found, requests(found))
    assert [[r.response.text for r in records] for records in answers.outputs] == [["lol", "lol"]] * 5
    asked = requests(found, choices=(" no", " yes"))
    model = RecordedModel(recorded_outputs.read_recorded(picks))
    model.align("picks", found, asked)
    theirs = {s["doc"]["question"]: tuple(float(one[0][0]) for one in s["resps"])[::-1] for s in said["picks"]}
    assert [r.logprobs for _, r in model.answer(asked)] == [theirs[row["question"]] for row in ROWS]


@given(st.permutations(range(5)), st.sets(st.integers(0, 4), min_size=1))
def test_neither_order_nor_gaps_change_what_an_example_gets(order: list[int], kept: set[int]) -> None:
    records = [recorded_outputs.RecordedOutput(Response(f"said {i}"), prompt=ROWS[i]["question"]) for i in order if i in kept]
    found = pair_outputs(records, examples(), requests(examples())).outputs
    assert [[r.response.text for r in rs] for rs in found] == [[f"said {i}"] if i in kept else [] for i in range(5)]


def test_evalplus_results_give_every_solution_of_a_problem(tmp_path: Path) -> None:
    (tmp_path / "x_eval_results.json").write_text(
        json.dumps(
            {"date": "", "eval": {"Sum/0": [{"task_id": "Sum/0", "solution": f"def f(): return {i}"} for i in range(2)]}}
        )
    )
    [found] = pair_outputs(
        recorded_outputs.read_recorded(tmp_path / "x_eval_results.json"), [Example({"task_id": "Sum/0"})], [Request("")]
    ).outputs
    assert [r.response.text for r in found] == ["def f(): return 0", "def f(): return 1"]


def test_our_own_samples_can_be_read_again(tmp_path: Path) -> None:
    lines: list[Any] = [{"example": e.id, "response": f"said {i}", "finish": "length"} for i, e in enumerate(examples())]
    lines[0] |= {"response": [-1.0, -2.0], "finish": "stop"}
    lines[1] |= {"response": "", "finish": "error", "error": "out of memory"}
    records = recorded_outputs.read_recorded(write(tmp_path / "samples.jsonl", lines))
    assert [r.response for r in records[:3]] == [
        Response(logprobs=(-1.0, -2.0)),
        Response(finish="error", error="out of memory"),
        Response("said 2", finish="length"),
    ]


def test_a_file_without_outputs_says_what_it_has_and_what_is_needed(tmp_path: Path) -> None:
    file = write(tmp_path / "out.jsonl", [{"accuracy": 0.5, "stderr": 0.1}])
    with pytest.raises(
        SkilldeltaError, match=r"(?s)no recorded outputs; it has: accuracy, stderr\..*one of prompt, instruction"
    ):
        texts(file)
    with pytest.raises(SkilldeltaError, match="in the format 'evalplus'"):
        texts(write(tmp_path / "rows.jsonl", [{"id": "1", "response": "x"}]), format="evalplus")
    with pytest.raises(SkilldeltaError, match="Did you mean 'evalplus'"):
        texts(file, format="eval-plus")
    with pytest.raises(SkilldeltaError, match="There is no file"):
        texts(tmp_path / "none.jsonl")


def test_of_several_files_those_without_outputs_are_named(tmp_path: Path) -> None:
    good = write(tmp_path / "out.jsonl", [{"question": row["question"], "response": "?"} for row in ROWS])
    bad = write(tmp_path / "metrics.jsonl", [{"accuracy": 0.5}])
    model = load(Checkpoint("them", "", "recorded"), RecordedOptions((str(good), str(bad))))
    model.align("sums", examples(), requests(examples()))
    assert model.note == "files that hold no outputs: 1 (the first: metrics.jsonl)"


def test_a_torn_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text('{"question": "What is 0 plus 0?", "response": "ze')
    with pytest.raises(SkilldeltaError, match="is the file whole"):
        texts(tmp_path / "out.jsonl")


def recorded_text(text: str, **settings: Any) -> tuple[str, str]:
    (found,) = examples(ROWS[:1])
    request = replace(requests([found])[0], **settings)
    model = RecordedModel([recorded_outputs.RecordedOutput(Response(text, "length"), id=found.id)])
    model.align("sums", [found], [request])
    ((_, response),) = model.answer([request])
    return response.text, response.finish


def test_the_stop_strings_of_the_request_hold_for_recorded_texts() -> None:
    stop = ("\n\nQuestion:",)
    assert recorded_text(" So it is 4.\n\nQuestion: What now?\n7", stop=stop) == (" So it is 4.", "stop")
    assert recorded_text("<think>\n\nQuestion: 4?</think>It is 4.", stop=stop)[0] == "<think>\n\nQuestion: 4?</think>It is 4."
    assert recorded_text("It is 4.", stop=stop) == ("It is 4.", "length")


def test_a_recorded_program_is_not_cut_as_the_rest_of_a_function() -> None:
    head, stop = "def double(x):\n", ("\ndef", "\nprint")
    assert recorded_text("    return 2 * x\n\nprint(1)", prompt=head, raw=True, stop=stop)[0] == "    return 2 * x\n"
    whole = "import math\n\ndef double(x):\n    return 2 * x"
    assert recorded_text(whole, prompt=head, raw=True, stop=stop)[0] == whole


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_elsewhere_in_a_row_does_no_harm(tmp_path: Path, value: float) -> None:
    rows = [{**row, "response": row["answer"], "latency": value} for row in ROWS]
    rows[1]["response"] = float("nan")
    assert texts(write(tmp_path / "a.jsonl", rows)) == ["0", NOT_RECORDED, "4", "6", "8"]


def test_lm_eval_logs_with_empty_responses_and_numbers_that_are_none(tmp_path: Path) -> None:
    resps: list[Any] = [["0"], [None], [], ["6"], ["8"]]
    rows = [{"doc_id": i, "doc": row | {"x": float("nan")}, "resps": [resps[i]]} for i, row in enumerate(ROWS)]
    assert texts(write(tmp_path / "samples_sums.jsonl", rows)) == ["0", NOT_RECORDED, NOT_RECORDED, "6", "8"]
    empty = write(tmp_path / "b.jsonl", [{"doc_id": 0, "doc": ROWS[0], "resps": [[None]]}])
    with pytest.raises(SkilldeltaError, match=r"No row of .*b.jsonl holds an answer"):
        texts(empty)


def test_conversations_and_batches_of_servers_are_outputs(tmp_path: Path) -> None:
    ask = [[{"role": "system", "content": "Be short."}, {"role": "user", "content": row["question"]}] for row in ROWS]
    said = [{"role": "assistant", "content": row["answer"]} for row in ROWS]
    whole = [{"messages": [*turns, answer]} for turns, answer in zip(ask, said, strict=True)]
    split = [{"prompt": turns, "response": answer["content"]} for turns, answer in zip(ask, said, strict=True)]
    reply = [{"status_code": 200, "body": {"choices": [{"message": answer, "finish_reason": "stop"}]}} for answer in said]
    batch = [{"id": f"batch_{i}", "custom_id": e.id, "response": reply[i], "error": None} for i, e in enumerate(examples(ROWS))]
    expected = [row["answer"] for row in ROWS]
    for name, rows in (("whole", whole), ("split", split), ("batch", batch)):
        assert texts(write(tmp_path / f"{name}.jsonl", rows)) == expected, name
    wrapped = tmp_path / "wrapped.json"
    wrapped.write_text(json.dumps({"model": "m", "results": split}))
    assert texts(wrapped) == expected


def test_a_log_probability_that_is_no_number_has_no_score(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{**row, "response": [float("nan"), -1.0]} for row in ROWS])
    assert texts(path) == ["a recorded log-probability is no finite number"] * len(ROWS)


def test_what_was_asked_again_after_a_failure_counts(tmp_path: Path) -> None:
    lines = [{"question": row["question"], "response": "", "error": "timeout"} for row in ROWS[:2]]
    lines += [{"question": row["question"], "response": row["answer"]} for row in ROWS[1:]]
    assert texts(write(tmp_path / "out.jsonl", lines)) == ["timeout", *(row["answer"] for row in ROWS[1:])]


def test_a_column_of_the_benchmark_is_no_answer_beside_the_models(tmp_path: Path) -> None:
    lines = [{"question": row["question"], "solution": row["answer"], "generation": f"said {i}"} for i, row in enumerate(ROWS)]
    assert texts(write(tmp_path / "out.jsonl", lines)) == [f"said {i}" for i in range(5)]
    lines = [{"question": row["question"], "output": f"said {i}", "prediction": str(i)} for i, row in enumerate(ROWS)]
    model = load(Checkpoint("them", "", "recorded"), RecordedOptions((str(write(tmp_path / "two.jsonl", lines)),)))
    model.align("sums", examples(), requests(examples()))
    assert model.note == "the answers are those of the column 'output', not of 'prediction'"


@pytest.mark.parametrize("column", ["generator", "model", "model_name"])
def test_models_are_not_mixed(column: str, tmp_path: Path) -> None:
    lines = [{"question": row["question"], "response": name, column: name} for name in ("small", "big") for row in ROWS]
    file = write(tmp_path / "out.jsonl", lines)
    with pytest.raises(SkilldeltaError, match=r"2 models; choose one with model=NAME\. There are: small, big"):
        texts(file)
    assert texts(file, model="big") == ["big"] * 5
    assert texts(write(tmp_path / "one.jsonl", lines[:5])) == ["small"] * 5


def test_a_first_row_without_an_answer_hides_no_other(tmp_path: Path) -> None:
    lines = [{"question": row["question"], "response": f"said {i}"} for i, row in enumerate(ROWS)]
    failed = {"question": ROWS[0]["question"], "error": "timeout"}
    assert texts(write(tmp_path / "out.jsonl", [failed, *lines[1:]])) == [NOT_RECORDED, *(f"said {i}" for i in range(1, 5))]
    header = {"run": "friday", "temperature": 0}
    assert texts(write(tmp_path / "header.jsonl", [header, *lines])) == [f"said {i}" for i in range(5)]


@pytest.mark.parametrize("before", ["", "system\nYou are a helpful assistant.\nuser\n"])
def test_texts_that_hold_their_prompts_are_refused_with_the_way_out(before: str, tmp_path: Path) -> None:
    wholes = [
        {"question": row["question"], "response": f"{before}{row['question']}\nassistant\n{i}"} for i, row in enumerate(ROWS)
    ]
    with pytest.raises(SkilldeltaError, match=r"5 of 5 recorded texts begin with their own prompt.*what the model said alone"):
        texts(write(tmp_path / "out.jsonl", wholes))
    some = [*wholes[:3], *({"question": row["question"], "response": "4"} for row in ROWS[3:])]
    assert texts(write(tmp_path / "some.jsonl", some))[3:] == ["4", "4"]  # an answer may repeat its question


def test_a_program_holds_its_prompt_rightly(tmp_path: Path) -> None:
    rows: list[Json] = [
        {"task_id": f"Sum/{n}", "prompt": f"def sum_{n}(numbers):\n", "entry_point": f"sum_{n}"} for n in range(5)
    ]
    lines = [{**row, "completion": f"{row['prompt']}    return 0\n"} for row in rows]
    assert texts(write(tmp_path / "out.jsonl", lines), rows) == [line["completion"] for line in lines]
