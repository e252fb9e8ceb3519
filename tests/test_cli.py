"""The command line: what people type, what they get, what scripts may rely on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness import registry
from harness.api import Backend, resolve_tasks
from harness.cli import app, main
from tests.checkpoints.test_discovery import model, run, weights
from tests.support import tiny

TASK = """
from tests.support import toys
TASKS = (toys.adding(6),)
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(TASK)
    return file


def skilldelta(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


def scored(capsys: pytest.CaptureFixture[str], mine: Path, paths: list[Path], *more: object) -> tuple[int, str, str]:
    flags = [
        "-t",
        "adding",
        "--include-path",
        mine,
        "--backend",
        "scripted",
        "--backend-args",
        "text=4",
        "-o",
        mine.parent / "results",
    ]
    return skilldelta(capsys, "score", *paths, *flags, *more)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], ["list", "tasks"], ["list", "backends"], ["list", "published"]])
def test_a_quick_question_loads_no_heavy_library(arguments: list[str]) -> None:
    code = f"""
import sys
from harness.cli import main
try:
    main({arguments!r})
except SystemExit as stop:
    assert stop.code == 0, stop.code
heavy = {{"torch", "transformers", "matplotlib", "pandas", "numpy", "scipy", "datasets", "lm_eval"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_scoring_a_run_folder_and_again(capsys: pytest.CaptureFixture[str], mine: Path) -> None:
    folder = run(mine.parent / "dpo", (10, 20))
    code, out, err = scored(capsys, mine, [folder])
    assert code == 0, err
    assert out == ""
    assert "dpo@10 · adding: 6 samples" in err
    code, out, err = scored(capsys, mine, [folder], "--json")
    assert [o["state"] for o in json.loads(out)] == ["already", "already"]


def test_a_half_written_checkpoint_fails_alone_with_exit_code_four(capsys: pytest.CaptureFixture[str], mine: Path) -> None:
    whole, half = model(mine.parent / "whole"), model(mine.parent / "half", cut=5)
    code, _, err = scored(capsys, mine, [whole, half])
    assert code == 4
    assert "whole · adding: 6 samples" in err
    assert "half cannot be scored: model.safetensors is half-written" in err
    assert "half · adding: FAILED: as said above" in err


@pytest.mark.slow
def test_wrong_use_has_exit_code_three_and_names_the_way_out(capsys: pytest.CaptureFixture[str], mine: Path) -> None:
    folder = model(mine.parent / "sft")
    for names in (["-t", "addin"], ["-t", "addin", "-t", "adding"], ["-t", "adding", "-t", "addin"]):  # each one counts
        code, _, err = skilldelta(capsys, "score", folder, *names, "--include-path", mine, "-o", mine.parent / "r")
        assert code == 3
        assert "Did you mean 'adding'?" in err
    code, _, err = scored(capsys, mine, [folder], "--backend-args", "text=4,colour=red")
    assert code == 3
    assert "There are: block, choice, text" in err
    code, _, err = skilldelta(capsys, "score", folder, "-o", mine.parent / "r")
    assert code == 3
    assert "Say what to score" in err
    code, _, err = skilldelta(capsys, "frobnicate")
    assert code == 3
    (mine.parent / "full").mkdir()
    (mine.parent / "full" / "x.txt").write_text("x")
    code, _, err = skilldelta(
        capsys, "score", folder, "-t", "adding", "--include-path", mine, "--backend", "scripted", "-o", mine.parent / "full"
    )
    assert code == 3
    assert "holds other things" in err
    code, _, err = scored(capsys, mine, [folder], "--limit", "0")
    assert (code, "The limit is 0: write 1 or more" in err) == (3, True)
    code, _, err = skilldelta(capsys, "power", mine.parent / "r")
    assert (code, "With results, power needs --baseline" in err) == (3, True)


def test_an_error_while_wrong_use_is_explained_is_internal_and_not_a_failed_gate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, mine: Path
) -> None:
    def fall(*_: object) -> str:
        raise ZeroDivisionError("an explanation that fails")

    monkeypatch.setattr("harness.cli.list_choices", fall)
    code, _, err = skilldelta(capsys, "gate", mine.parent)
    assert (code, "an explanation that fails" in err, "MissingParameter" in err) == (10, True, True)


@pytest.mark.slow
def test_a_flag_that_is_missing_is_told_with_the_names_that_the_results_have(
    capsys: pytest.CaptureFixture[str], mine: Path
) -> None:
    scored(capsys, mine, [model(mine.parent / "sft"), model(mine.parent / "dpo")])
    results = mine.parent / "results"
    for verb, flags, names in (
        ("compare", [], "dpo, sft"),
        ("gate", ["--baseline", "sft"], "dpo"),
        ("replay", ["--baseline", "sft"], "dpo"),
        ("explain", ["--baseline", "sft", "--candidate", "dpo"], "average, reasoning, adding"),
    ):
        code, _, err = skilldelta(capsys, verb, results, *flags)
        assert (code, f"There are: {names}.  `" in err) == (3, True), err
    (mine.parent / "none").mkdir()
    (mine.parent / "none" / "skilldelta.json").write_text('{"format": 2}')
    code, _, err = skilldelta(capsys, "compare", mine.parent / "none", "--baseline", "sft")
    assert (code, "hold no checkpoint yet" in err) == (3, True)
    (results / "skilldelta.json").write_text('{"format": 99}')
    code, _, err = skilldelta(capsys, "compare", results)
    assert (code, "reads 1 to 2.  Read it with the version that wrote it" in err) == (3, True)


def test_ctrl_c_ends_with_a_sentence_and_the_shells_exit_code(
    capsys: pytest.CaptureFixture[str], mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.cli.docs.summary", interrupt)
    code, _, err = skilldelta(capsys, "docs")
    assert (code, err) == (130, "skilldelta: Stopped.  The same command continues from here.\n")


def test_a_folder_without_checkpoints_hides_none_of_the_others(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    good, empty = model(tmp_path / "runs" / "good"), tmp_path / "empty"
    empty.mkdir()
    code, out, err = skilldelta(capsys, "checkpoints", empty, good, tmp_path / "absent")
    assert code == 4
    assert "good" in out
    assert "no checkpoint in" in err
    assert "no folder" in err
    code, out, err = skilldelta(capsys, "checkpoints", empty, tmp_path / "absent")
    assert (code, out, "no checkpoint in" in err) == (3, "", True)
    code, _, err = skilldelta(capsys, "checkpoints", good, "--match", "nothing*")
    assert (code, "is chosen by these flags" in err) == (3, True)


def test_checkpoints_are_listed_ready_or_with_what_is_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tiny.llama(tmp_path / "runs" / "good")
    model(tmp_path / "runs" / "torn", cut=2)
    code, out, _ = skilldelta(capsys, "checkpoints", tmp_path / "runs", "--json")
    assert code == 0
    good, torn = json.loads(out)
    assert good["ready"]
    assert good["fingerprint"]
    assert "half-written" in torn["problem"]


def test_a_narrow_list_of_checkpoints_keeps_names_whole_and_says_a_common_reason_once_below(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    names = ["policy-of-experiment-11", "policy-of-experiment-12"]
    for name in names:
        (tmp_path / name).mkdir()
        weights(tmp_path / name / "adapter_model.safetensors")
        config = {"base_model_name_or_path": "org/nowhere", "peft_type": "LORA"}
        (tmp_path / name / "adapter_config.json").write_text(json.dumps(config))
    code, out, _ = skilldelta(capsys, "checkpoints", tmp_path)
    table, reasons = out.split("\n[1] ")
    lines = table.splitlines()
    assert code == 0
    assert all(line == line.rstrip() and len(line) <= 90 for line in lines)
    assert [line.split()[0] for line in lines[1:] if line.startswith("policy")] == names
    assert table.count("not ready [1]") == 2, "no column of the table holds the reason itself"
    assert reasons.count("org/nowhere") == 1
    assert "--base DIR" in reasons


@pytest.mark.slow
def test_checkpoints_that_cannot_be_loaded_are_named_before_the_others_are_asked(
    capsys: pytest.CaptureFixture[str], mine: Path
) -> None:
    tiny.llama(mine.parent / "whole")
    bare = mine.parent / "bare"
    tiny.llama(bare)
    (bare / "tokenizer.json").unlink()
    model(mine.parent / "half", cut=5)
    flags = ["-t", "adding", "--include-path", mine, "--limit", "1", "--gen-kwargs", "max_tokens=1", "-o", mine.parent / "r"]
    capsys.readouterr()
    code, _, err = skilldelta(capsys, "score", mine.parent / "whole", bare, mine.parent / "half", *flags)
    lines = err.splitlines()
    assert code == 4
    assert [line.split(":")[0] for line in lines[:2]] == ["bare cannot be scored", "half cannot be scored"]
    assert lines[2] == "whole: loading", "of a large model that takes minutes"
    assert "whole · adding: 2 samples" in lines[3]
    assert sum("half · adding" in line for line in lines) == 2, "in its turn, and at the end"


@pytest.mark.parametrize(
    ("verb", "way"), [("tasks", "list tasks"), ("judges", "list judges"), ("backend", "list backends"), ("card", "--help")]
)
def test_an_unknown_command_is_told_where_to_look(verb: str, way: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = skilldelta(capsys, verb)
    assert code == 3
    assert f"No such command '{verb}'." in err
    assert f"`skilldelta {way}`" in err


@pytest.mark.slow
def test_wrong_use_says_what_is_missing_and_long_lists_are_counted(capsys: pytest.CaptureFixture[str], mine: Path) -> None:
    code, _, err = skilldelta(capsys)
    assert (code, err) == (3, ""), "the help is no error with an empty message"
    code, _, err = skilldelta(capsys, "list")
    assert (code, "Missing argument 'kind': tasks, " in err) == (3, True)
    assert "list --help` says what else it takes" in err
    code, _, err = skilldelta(capsys, "compare", mine.parent)
    assert (code, "'--baseline': The checkpoint that the others are compared with." in err) == (3, True)
    code, _, err = skilldelta(capsys, "best-of-n", mine.parent, "reward:rm,base=sft")
    assert (code, "no judge such as reward:rm,base=sft (their base: --base)" in err) == (3, True)
    run(mine.parent / "dpo" / "checkpoints", (10,))
    flags = ["-t", "xstest", "--backend", "scripted", "-o", mine.parent / "choice"]
    code, _, err = skilldelta(capsys, "choose", mine.parent / "dpo", "--baseline", "dpo@1", *flags)
    assert (code, "no folder or checkpoint 'dpo@1'. Did you mean 'dpo@10'?" in err) == (3, True)
    code, _, err = skilldelta(capsys, "checkpoints", mine.parent / "dpo" / "checkpoint-10" / "adapter")
    assert (code, f"There are: {mine.parent / 'dpo' / 'checkpoints'}." in err) == (3, True), "a level was left out"
    code, _, err = skilldelta(capsys, "export", mine.parent, "--to", "lmeval")
    assert (code, "Did you mean 'lm-eval'" in err) == (3, True), "as the help and `list` spell it"
    code, _, err = skilldelta(capsys, "score", mine.parent, "-t", "truthfulqa")
    assert (code, "Did you mean 'truthfulqa_mc" in err) == (3, True)
    assert len(err) < 400, "no list of every task where near names are known"
    assert "`skilldelta list tasks`" in err


@pytest.mark.slow
def test_stored_hashes_that_differ_are_explained_by_the_flags_that_move_them(
    capsys: pytest.CaptureFixture[str], mine: Path
) -> None:
    folder = model(mine.parent / "sft")
    scored(capsys, mine, [folder])
    code, _, err = scored(capsys, mine, [folder], "--gen-kwargs", "max_tokens=3")
    assert code == 4
    assert any("inputs.prompts: stored" in line and "--gen-kwargs" in line for line in err.splitlines())
    code, _, err = scored(capsys, mine, [folder], "--limit", "1")
    assert any("inputs.data: stored" in line and "--limit" in line for line in err.splitlines())


def test_a_plan_without_sizes_promises_no_minutes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SMOLLM2", "org/nowhere")
    code, out, err = skilldelta(capsys, "study", "smollm2-quick", "--plan", "-o", tmp_path / "plan")
    assert code == 0, err
    assert "3 of 3 stages cannot be estimated" in out
    assert "minutes" not in out.splitlines()[-1]


def test_in_python_one_path_and_one_task_need_no_list(mine: Path) -> None:
    folder, tasks = model(mine.parent / "sft"), registry.tasks([mine])
    backend = Backend("scripted", {"text": "4"})
    for number, (path, task) in enumerate([(folder, tasks["adding"]), (str(folder), [tasks["adding"]])]):
        (outcome,) = harness.score(path, task, mine.parent / f"r{number}", backend=backend)
        assert (outcome.checkpoint, outcome.task, outcome.state) == ("sft", "adding", "done")
    assert [task.name for task in resolve_tasks("gsm8k, xstest")] == ["gsm8k", "xstest"]
    assert {"score", "compare", "ScoreCallback"} <= set(dir(harness))


def test_rescoring_from_the_command_line(capsys: pytest.CaptureFixture[str], mine: Path) -> None:
    scored(capsys, mine, [model(mine.parent / "sft")])
    code, _, err = skilldelta(capsys, "rescore", mine.parent / "results", "--include-path", mine)
    assert code == 0
    assert "0 scores changed" in err


@pytest.mark.slow
def test_comparing_prints_tables_and_writes_reports(capsys: pytest.CaptureFixture[str], mine: Path) -> None:
    folder = run(mine.parent / "dpo", (10, 20))
    scored(capsys, mine, [folder])
    results, report = mine.parent / "results", mine.parent / "report"
    code, out, err = skilldelta(capsys, "compare", results, "--baseline", "dpo@10", "-o", report)
    assert code == 0, err
    assert "dpo@20 against dpo@10" in out
    assert {"comparison.json", "table.md", "table.csv", "table.tex", "deltas.png", "deltas.svg"} <= {
        p.name for p in report.iterdir()
    }
    code, out, _ = skilldelta(capsys, "compare", results, "--baseline", "dpo@10", "--json")
    assert json.loads(out) == json.loads((report / "comparison.json").read_text())
    code, _, err = skilldelta(capsys, "compare", results, "--baseline", "dpo@11")
    assert code == 3
    assert "Did you mean" in err


@pytest.mark.slow
def test_training_from_the_command_line_and_scoring_what_it_made(capsys: pytest.CaptureFixture[str], mine: Path) -> None:
    from tests.support import tiny

    base = tiny.llama(mine.parent / "base", template=True)
    rows = [{"prompt": f"What is {i}+{i}?", "completion": f" {2 * i}"} for i in range(8)]
    (mine.parent / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    out = mine.parent / "sft"
    flags = [
        "--model",
        base,
        "--data",
        mine.parent / "rows.jsonl",
        "--max-steps",
        4,
        "--batch",
        2,
        "--save-steps",
        2,
        "--lr=1e-3",
    ]
    code, _, err = skilldelta(capsys, "train", "sft", *flags, "-o", out)
    assert code == 0, err
    code, out_text, err = skilldelta(capsys, "checkpoints", out, "--json")
    assert [(c["step"], c["method"], c["problem"]) for c in json.loads(out_text)][:2] == [(2, "sft", ""), (4, "sft", "")]
    code, _, err = skilldelta(capsys, "train", "sft", "--modle", base)
    assert code == 3
    assert "Did you mean 'model'" in err
    code, out_text, _ = skilldelta(capsys, "train", "dpo")
    assert code == 0
    assert "--beta" in out_text


@pytest.mark.slow
def test_two_checkpoints_are_asked_in_turn_until_decided(
    capsys: pytest.CaptureFixture[str], mine: Path, tmp_path: Path
) -> None:
    old, new = model(tmp_path / "old"), model(tmp_path / "new")
    code, out, err = scored(capsys, mine, [new], "--against", old, "--until", "decided", "--margin", 50, "--json")
    assert code == 0, err
    (settled,) = json.loads(out)
    assert (settled["task"], settled["delta"]) == ("adding", 0)  # both say the same
    code, _, err = scored(capsys, mine, [new], "--against", old, "--until", "tomorrow")
    assert (code, "--until tomorrow: write decided or all" in err) == (3, True)
    code, _, err = scored(capsys, mine, [old], "--against", old)
    assert (code, "no checkpoint to compare with old" in err) == (3, True)


@pytest.mark.slow
def test_the_doctor_says_what_is_in_force(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = skilldelta(capsys, "doctor", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["sandbox"].split(":")[0] in ("namespaces", "landlock", "none") or "cannot be run safely" in found["sandbox"]
    assert "torch 2" in found["packages"]
    assert found["device"]


@pytest.mark.slow
def test_score_hands_the_engine_its_limit_of_tokens(
    capsys: pytest.CaptureFixture[str], mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.backends import transformers
    from tests.support import tiny

    given: list[tuple[int, ...]] = []
    limits = transformers.BatchLimits
    monkeypatch.setattr(transformers, "BatchLimits", lambda *each: given.append(each) or limits(*each))
    flags = ["-t", "adding", "--include-path", mine, "--max-batch-tokens", 7, "-o", tmp_path / "results"]
    code, _, err = skilldelta(capsys, "score", tiny.llama(tmp_path / "model"), *flags)
    assert code == 0, err
    assert [each[2] for each in given] == [7]


def test_score_can_ask_a_share_again_and_tells_what_changed(capsys: pytest.CaptureFixture[str], mine: Path) -> None:
    code, out, _ = scored(capsys, mine, [model(mine.parent / "sft")], "--check-noise", "0.5")
    assert code == 0
    assert ["sft", "adding", "3", "0", "0", "0", "0", "0"] in [line.split() for line in out.splitlines()]
    assert json.loads((mine.parent / "results" / "sft" / "adding" / "task.json").read_text())["noise"]["n"] == 3
    code, _, err = scored(capsys, mine, [model(mine.parent / "dpo")], "--check-noise", "0.5", "--against", "x")
    assert (code, "--check-noise repeats questions" in err) == (3, True)


def test_older_spellings_of_flags_are_still_read(capsys: pytest.CaptureFixture[str], mine: Path) -> None:
    flags = [
        "-t",
        "adding",
        "--include_path",
        mine,
        "--model=scripted",
        "--model_args",
        "text=4",
        "--output",
        mine.parent / "r",
    ]
    code, _, err = skilldelta(capsys, "score", model(mine.parent / "sft"), *flags)
    assert code == 0, err
    code, _, err = skilldelta(capsys, "compare", mine.parent / "r", "--baseline", "sft", "--family", "bonferroni")
    assert (code, "bonferroni" in err) == (3, True)


@pytest.mark.slow
def test_every_page_of_the_documentation_is_listed_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    code, listing, _ = skilldelta(capsys, "docs")
    names = [line.split()[0] for line in listing.splitlines()[1:] if line and not line.startswith(" ")]
    assert code == 0
    assert names == sorted(path.stem for path in Path("harness/docs").glob("*.md"))
    for name in names:
        code, text, _ = skilldelta(capsys, "docs", name)
        assert code == 0
        assert text.rstrip() == Path("harness/docs", f"{name}.md").read_text().rstrip()
    code, _, err = skilldelta(capsys, "docs", "sped")
    assert code == 3
    assert "Did you mean 'speed'?" in err


def test_every_verb_and_every_flag_has_a_line_of_help() -> None:
    from typer.main import get_command

    commands = get_command(app).commands  # type: ignore[attr-defined]
    silent = [name for name, command in commands.items() if not command.help]
    silent += [f"{name} {p.opts[0]}" for name, c in commands.items() for p in c.params if not getattr(p, "help", "")]
    assert not silent
    assert not [p.opts for c in commands.values() for p in c.params if any("_" in o for o in p.opts if o.startswith("--"))]


@pytest.mark.slow
def test_a_task_that_does_not_say_what_it_reads_has_no_unreadable_answers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    task = """
from harness.types import Request, Response, Score, Task
TASKS = tuple(Task(
    name=name, skill="factuality", version=1, source="made here", rows=lambda folder: [{"n": n} for n in range(3)],
    ask=lambda example: Request(f"Say {example.row['n']}.", max_tokens=4),
    score=lambda example, response: Score(float(str(example.row["n"]) in response.text), extracted=EXTRACTED),
    ideal=lambda example: Response(str(example.row["n"])),
) for name in ("own",))
"""
    for name, extracted in (("silent", '""'), ("saying", 'response.text if "1" in str(example.row) else ""')):
        file = tmp_path / f"{name}.py"
        file.write_text(task.replace("EXTRACTED", extracted))
        flags = ["-t", "own", "--include-path", file, "--backend", "scripted", "--backend-args", "text=1"]
        code, _, err = skilldelta(capsys, "score", model(tmp_path / f"model-{name}"), *flags, "-o", tmp_path / name)
        assert code == 0, err
        _, out, _ = skilldelta(capsys, "compare", tmp_path / name, "--baseline", f"model-{name}")
        assert ("unreadable" in out) == (name == "saying")
