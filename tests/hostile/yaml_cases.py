"""Damaged YAML: policies of the gate, suites and studies."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from tests.hostile.edits import MARKER, SECRET, Arguments, Edit, at, cases, put, write_as_format_1
from tests.support import tiny
from tests.support.damage import FILES
from tests.support.forked import Case
from tests.support.results_folder import about, sample, store

FILE = "x.yaml"
POLICY = "default: {max_drop: 1}\n"
Texts = Mapping[str, str | bytes]


def grow(letters: str, pattern: str, first: str) -> str:
    """Anchors, each of which holds the one before it many times; `pattern` has %s for it."""
    lines = [f"a: &a {first}\n"]
    lines += [f"{new}: &{new} {pattern.replace('%s', f'*{old}')}\n" for old, new in pairwise(letters)]
    return "".join(lines)


LAUGHS = grow("abcdefghi", f"[{', '.join(['%s'] * 9)}]", "[x, x, x, x, x, x, x, x, x]")
MERGES = grow("abcdefghijklm", f"{{<<: [{', '.join(['%s'] * 10)}]}}", "{x: 1}")
POLICIES: Texts = {
    "nine laughs": LAUGHS,
    **{f"nine laughs as {place}": LAUGHS + f"{place}: *i\n" for place in ("default", "skills")},
    "nine laughs in skills": LAUGHS + "skills: {safety: *i}\n",
    "merges of merges": MERGES,
    "a merge in a circle": "a: &a\n  <<: *a\n  x: 1\n",
    "a merge of a list": "a: &a {max_drop: 1}\ndefault: {<<: [*a, *a, *a]}\n",
    "a merge of a number": "default: {<<: 5}\n",
    "a name of Python's": "x: !!python/name:os.system\n",
    "deep lists": "[" * 100_000,
    "2,000 lists": "default: " + "[" * 2000 + "]" * 2000,
    "a million lists": "[" * 10**6,
    "a million objects": "{" * 10**6,
    "3,000 indents": "".join(" " * i + "- \n" for i in range(3000)),
    "an anchor in itself": "default: &a {max_drop: *a}\n",
    "a list in itself": "skills: &a [*a]\n",
    "Latin-1": b"default: {max_drop: 1} # \xff\n",
    "NUL": b"default: \0\n",
    "a byte order mark": b"\xef\xbb\xbfdefault: {max_drop: 2}\n",
    "a byte order mark within": "a: 1\n\ufeff" + POLICY,
    "UTF-32": ("\ufeff" + POLICY).encode("utf-32"),
    "half of a pair in UTF-16": "a: \ud800".encode("utf-16", "surrogatepass"),
    "other line ends": b"default: {max_drop: 2}\r\n",
    "carriage returns": POLICY.replace("\n", "\r"),
    "next lines": POLICY.replace("\n", "\x85"),
    **{
        f"max_drop {value}": f"default: {{max_drop: {value}}}\n"
        for value in (".nan", ".inf", "-.inf", "-5", "yes", "010", "1:30")
    },
    "max_unscored -.inf": "max_unscored: -.inf\n" + POLICY,
    "a key twice": "default: {max_drop: 0}\ndefault: {max_drop: 100}\n",
    "numbers as keys": "1: 2\n",
    "a list": "- 1\n",
    "empty": "",
    "two documents": POLICY + "---\n" + POLICY,
    "a date": "default: 2020-01-01\n",
    "a time": "default: {max_drop: 2001-12-14t21:59:43.10-05:00}\n",
    "a date that is none": "default: {max_drop: 9999-99-99}\n",
    "a zone that is none": "default: {max_drop: 2001-12-14T21:59:43+99:99}\n",
    "a set": "default: !!set {a}\n",
    "an ordered map": "default: !!omap [a: 1]\n",
    "pairs": "default: !!pairs [a: 1]\n",
    "bytes": 'default: !!binary "AAAA"\n',
    "an unknown tag": "default: !foo bar\n",
    "a handle of tags": "%TAG ! tag:evil,2000:\n---\ndefault: !x 5\n",
    "YAML 9.9": "%YAML 9.9\n---\n" + POLICY,
    "YAML 1.2": "%YAML 1.2\n---\n" + POLICY,
    "a directive twice": "%YAML 1.1\n%YAML 1.1\n---\n" + POLICY,
    "5,000 digits": "default: {max_drop: " + "9" * 5000 + "}\n",
    "100,000 digits": "default: {max_drop: " + "9" * 100_000 + "}\n",
    "100,000 hexadecimal digits": "default: {max_drop: 0x" + "f" * 100_000 + "}\n",
    "5,000 minutes": "default: {max_drop: 1" + ":59" * 5000 + "}\n",
    "escapes": 'default: {max_drop: "\\e]52;c;ZXZpbA==\\a"}\n',
    "an escape as key": '"\\e[31mx": 1\n',
    "an escape as anchor": "default: &\x1b[31m {max_drop: 1}\n",
    "escapes in skills": 'skills: {"\\e[31m\\u202e": {max_drop: 1}}\n',
    "half of a pair": 'skills: {"\\ud800": {max_drop: 1}}\n',
    "a letter beyond all": 'skills: {"\\UFFFFFFFF": {max_drop: 1}}\n',
    "half an escape": 'skills: {"\\x": 1}\n',
    "NUL as an escape": 'tasks: {"a\\0b": {max_drop: 1}}\n',
    "Norway": "skills: {no: {max_drop: 1}, on: {max_drop: 2}}\n",
    "keys of other kinds": "skills: {1: {max_drop: 1}, 2.5: {max_drop: 1}, null: {max_drop: 2}, 2001-01-01: {max_drop: 1}}\n",
    "lists as keys": "skills: {[1, 2]: {max_drop: 1}}\n",
    "objects as keys": "? {a: b}\n: 5\n",
    "tabs": "default:\n\tmax_drop: 1\n",
    "an anchor that is nowhere": "default: *nope\n",
    "60,000 skills": "skills:\n" + "".join(f"  s{i}: {{max_drop: 1}}\n" for i in range(60_000)),
    "a key of a million letters": "k" * 10**6 + ": 1\n",
    "a value of ten million letters": "default: {max_drop: " + "k" * 10**7 + "}\n",
    "5,000 questions": "? " * 5000 + "\n",
    "5,000 dashes": "- " * 5000 + "\n",
    "open quotes": 'a: "' + "x\n" * 100_000,
    "a million lines of text": "a: |\n" + " x\n" * 10**6,
    "a million comments": "# x\n" * 10**6 + POLICY,
    "a million colons": ":" * 10**6,
    "100,000 anchors": "&a " * 100_000,
    "190 objects": "{" + "a: {" * 190 + "}" * 190 + "}",
    "60,000 pairs in a list": "[" + "a: b, " * 60_000 + "]",
    "a million commas": "[" + "," * 10**6 + "]",
    "a kind of escapes": 'default: {kind: "\\e[2J"}\n',
    "an unknown field": 'default: {max_drop: 1, "\\e[31m": 5}\n',
    "1e308": "default: {max_drop: 1e308, margin: 1e308}\naverage: {max_drop: 1e308}\nmax_unscored: 1000000000000000000000\n",
    "a margin of 1e-320": "default: {margin: 1e-320}\n",
}
TASKS = "summary: s\ntasks:\n"
SUITE = TASKS + "  - {task: world_sums_validation}\n"
SUITES: Texts = {
    "a limit of 1e30": TASKS + "  - {task: world_sums_validation, limit: 1e30}\n",
    "a seed below 0": TASKS + "  - {task: world_sums_validation, limit: 1, seed: -99999999999999999999}\n",
    "a seed of 4,000 digits": TASKS + "  - {task: world_sums_validation, limit: 1, seed: " + "9" * 4000 + "}\n",
    "a template that is a path": SUITE + "template: ../../etc/passwd\n",
    "a template of escapes": SUITE + 'template: "\\e[31m"\n',
    "a task of another program that is a path": TASKS + "  - {task: 'lm-eval:../../etc/passwd'}\n",
    "a task that is a path": TASKS + "  - {task: ../../x}\n",
    "NUL in a task": TASKS + '  - {task: "a\\0b"}\n',
    "65,000 tasks": TASKS + "".join(f"  - {{task: t{i}}}\n" for i in range(65_000)),
    "tasks as an object": "summary: s\ntasks: {a: b}\n",
    "tasks as a text": "summary: s\ntasks: world_sums_validation\n",
    "tasks in a list in a list": "summary: s\ntasks: [[{task: x}]]\n",
    "a summary that is a list": "summary: [1]\ntasks: [{task: x}]\n",
    "nine laughs as tasks": LAUGHS + "summary: s\ntasks: *i\n",
}
HEAD = "summary: s\ntasks: quick\nseeds: [0]\nbases: {small: {path: model}}\ndata: {own: {files: [pairs.jsonl]}}\n"
CELL = "grid: [{method: [dpo], data: [own], label: x}]\n"
NUMBERS = ",".join(map(str, range(20_000)))
STUDIES: Texts = {
    **{
        name: POLICIES[name]
        for name in ("nine laughs", "nine laughs as default", "deep lists", "Latin-1", "NUL", "a list", "empty")
    },
    "an anchor in itself": POLICIES["an anchor in itself"],
    "nine laughs as bases": LAUGHS + "summary: x\ntasks: paper\nbases: *i\n",
    "nine laughs as grid": LAUGHS + "summary: x\ntasks: paper\nbases: {b: {path: /x}}\ngrid: *i\n",
    "1,000 seeds of 100 data sets": "summary: x\ntasks: paper\nseeds: ["
    + ",".join(map(str, range(1000)))
    + "]\nbases: {b: {path: /x}}\ndata: {"
    + ",".join(f"d{i}: {{files: [x]}}" for i in range(100))
    + "}\ngrid:\n  - {method: [dpo, ppo], data: ["
    + ",".join(f"d{i}" for i in range(100))
    + "]}\n",
    "10^9 seeds": "summary: x\ntasks: paper\nseeds: 1000000000\nbases: {b: {path: /x}}\n",
    "150,000 seeds": HEAD.replace("seeds: [0]", "seeds: [" + ",".join(map(str, range(150_000))) + "]") + CELL,
    "a base named as a path": 'summary: x\ntasks: paper\nbases: {"../../x": {path: /x}}\ndata: {o: {files: [x]}}\n'
    "grid:\n  - {method: dpo, data: o}\n",
    "20,000 seeds in the grid": HEAD + f"grid: [{{method: [dpo], data: [own], label: x, seeds: [{NUMBERS}]}}]\n",
    "400 methods by 400 data sets": HEAD
    + f"grid: [{{method: [{','.join(['dpo'] * 400)}], data: [{','.join(['own'] * 400)}], label: x}}]\n",
    "a label of escapes": HEAD + CELL.replace("x}", '"../../\\e[31m"}'),
    "data of an endless device": HEAD.replace("pairs.jsonl", "/dev/zero") + CELL,
    "data of a pipe": HEAD.replace("pairs.jsonl", "pipe") + CELL,
    "data of an address with a key": HEAD.replace("files: [pairs.jsonl]", f"hub: 'http://u:{SECRET}@h/x'") + CELL,
    "NUL in a base": HEAD.replace("path: model", 'path: "a\\0b"') + CELL,
    "a base that is the folder": HEAD.replace("path: model", "path: .") + CELL,
    "odd seeds": HEAD.replace("seeds: [0]", "seeds: [-1, 1e400, x]") + CELL,
    "a method of escapes": HEAD + CELL.replace("dpo", '"\\e[31m"'),
    "odd settings": HEAD + "settings: {dpo: {lr: .nan, batch_size: 99999999999999999999999, beta: -.inf}}\n" + CELL,
    "sizes of 0": HEAD + "settings: {dpo: {max_length: 0, epochs: 1e308}}\n" + CELL,
    "a reward model that is the cell": HEAD + "grid: [{method: [ppo], data: [own], label: x, reward_model: [x]}]\n",
    "tasks that are a path": HEAD.replace("tasks: quick", "tasks: ../../../etc/passwd") + CELL,
    "a real model that is a folder": "summary: s\ntasks: quick\nseeds: [0]\nreal: {model: /etc}\ngrid: []\n",
    "a grid that is a text": HEAD + "grid: x\n",
}
COMPARISONS: Texts = {
    "a weight of 1e-320": TASKS + "  - {task: sums, weight: 1e-320}\n",
    "a weight of .inf": TASKS + "  - {task: sums, weight: .inf}\n",
    "weights of 1e308": TASKS + "  - {task: sums}\nweights: {maths: 1e308, other: 1e308}\n",
    "weights of 0": TASKS + "  - {task: sums}\nweights: {maths: 0}\n",
    "weights below 0": TASKS + "  - {task: sums}\nweights: {maths: -1}\n",
    "a skill of escapes": TASKS + '  - {task: sums, skill: "\\e[31m<script>"}\n',
    "a mean of escapes": TASKS + '  - {task: sums}\nmean: "\\e[31m"\n',
}


def make_yaml_folder(good: Path, older: bool) -> None:
    """Results, a model and preferences, beside which the YAML file stands."""
    for name, shift in (("base", 0), ("cand", 1)):
        store(good, name, about("sums", "maths"), [sample(i, float((i + shift) % 3 == 0)) for i in range(12)])
    if older:
        write_as_format_1(good)
    tiny.llama(good / "model", hidden_size=8, intermediate_size=8, num_hidden_layers=1, vocabulary=300)
    (good / "pairs.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')


def sound_text(verb: str) -> str:
    """What a command reads without complaint."""
    texts = {"gate": POLICY, "score": SUITE, "study": HEAD + CELL}
    return texts.get(verb, TASKS + "  - {task: sums}\n")


def edits_of(texts: Texts, topic: str) -> dict[str, Edit]:
    return {f"{topic}: {name}": put(FILE, text) for name, text in texts.items()}


def make_pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    put(FILE, STUDIES["data of a pipe"])(folder)


def run_code(folder: Path) -> None:
    put(FILE, f'default: !!python/object/apply:os.system ["touch {folder.parent / MARKER}"]\n')(folder)


def yaml_cases(good: Path) -> Iterator[Case]:
    odd = {f"file: {name}": at(FILE, FILES[name]) for name in ("pipe", "folder", "link to an endless device")}
    code = {"code of Python's": run_code}
    sides = ["--baseline", "base", "--candidate", "cand"]
    score = ["-L", "1", "--device", "cpu"]
    verbs: dict[str, tuple[Arguments, dict[str, Edit]]] = {
        "gate": (lambda c: ["gate", str(c), *sides, "--policy", str(c / FILE)], edits_of(POLICIES, "policy") | odd | code),
        "score": (
            lambda c: ["score", str(c / "model"), "--suite", str(c / FILE), *score, "-o", str(c / "out")],
            edits_of(SUITES, "suite") | code,
        ),
        "study": (
            lambda c: ["study", str(c / FILE), "--plan", "-o", str(c / "out")],
            edits_of(STUDIES, "study") | {"study: data of a pipe": make_pipe} | code,
        ),
        "compare": (
            lambda c: ["compare", str(c), "--baseline", "base", "--suite", str(c / FILE)],
            edits_of(COMPARISONS, "suite"),
        ),
    }
    for verb, (arguments, edits) in verbs.items():
        yield from cases(good, edits, arguments, verb=verb)
