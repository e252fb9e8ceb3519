"""Names and answers of strangers act nowhere: not in a terminal, a spreadsheet, a Markdown page, LaTeX or a browser."""

import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cli import screen
from harness.cli.compare import print_comparison
from harness.comparison.compare import compare
from harness.comparison.decision import decide
from harness.comparison.gate import Policy, gate
from harness.comparison.result import Comparison
from harness.visible_text import CONTROLS, escape_cells, escape_markdown, first_line, show_controls
from reports import page, table, tradeoff
from reports.layout import latex
from tests.support.results_folder import store_scores

NAMES = [
    '=WEBSERVICE("http://evil.test/a")', "@NOW()", "-1+1|cmd", "\t=2*3", "\x1b[31mred\x1b]52;c;ZXZpbA==\x07", "a\u202etxt.exe",
    "[go](https://evil.test) ![i](https://evil.test/p.png)", "\\input{/etc/hosts}$\\write18{id}$", "x\r\n# heading",
    "基线-é-😀",
    "<b>bold</b>", "`tick` | pipe *star* _line_ ~gone~", "c1\x9b2J", "[ref]: http://evil.test", "www.evil.test",
]  # fmt: skip
ALLOWED_IN_LATEX = set(map(chr, range(32, 127))) | {"\n"}


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """A baseline, and candidates with such names on a task with such a name."""
    folder, task = tmp_path_factory.mktemp("odd"), "ta](http://evil.test)\u202esk"
    for number, name in enumerate(["base", *NAMES]):
        store_scores(folder, name, task, [float((i + number) % 3 == 0) for i in range(12)], "=ski\x1b[1mll")
    return compare(folder, "base")


@pytest.mark.slow
def test_the_screen_shows_no_control_but_line_ends(comparison: Comparison, capsys: pytest.CaptureFixture[str]) -> None:
    print_comparison(comparison)
    screen.note(NAMES[4])
    screen.print_table([NAMES[4]], [[NAMES[5]]], title="[red]" + NAMES[4])
    shown = capsys.readouterr()
    for text in (shown.out, shown.err):
        assert not CONTROLS.search(text)
    assert "\\u001b[31mred" in shown.out
    assert "[red]" in shown.out, "a title is no markup"


@pytest.mark.slow
@settings(max_examples=50)
@given(st.recursive(st.text(), lambda children: st.lists(children) | st.dictionaries(st.text(), children)))
def test_json_on_the_screen_says_the_same_and_acts_nowhere(value: object) -> None:
    shown = show_controls(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(shown) == value
    assert not CONTROLS.search(shown)


def test_no_cell_of_a_csv_begins_like_a_formula(comparison: Comparison, tmp_path: Path) -> None:
    _, flat, _ = table.render(comparison, tmp_path)
    rows = list(csv.DictReader(io.StringIO(flat.read_text())))
    assert len(rows) == len(comparison.rows)
    for row in rows:
        for cell in row.values():
            assert not re.match(r"[=+@\t\r-](?![\d.])", cell), cell
    assert {row["checkpoint"].removeprefix("'") for row in rows} >= {show_controls(n.replace("\r\n", "\n")) for n in NAMES}
    assert {row["skill"] for row in rows} == {"'=ski\\u001b[1mll", ""}
    assert not CONTROLS.search(flat.read_text())
    assert escape_cells(["-3.5", "+1", "−2", "=1", 4, None]) == ["-3.5", "+1", "−2", "'=1", 4, None]
    assert escape_cells([" =1", "\u00a0@x", "\u200b+a", " -3", " a=1"]) == ["' =1", "'\u00a0@x", "'\u200b+a", " -3", " a=1"]
    assert escape_cells(["a\r\nb", "a\rb", "＝1+1", "\x1b[2J"]) == ["a\nb", "a\\rb", "'＝1+1", "\\u001b[2J"]


def test_markdown_has_no_live_link_image_tag_or_address(comparison: Comparison, tmp_path: Path) -> None:
    table_document, trade = table.markdown_document(comparison), tradeoff.tradeoff_document(comparison)
    summary = gate(comparison, NAMES[6], Policy()).markdown()
    for text in (table_document, trade, summary):
        assert not CONTROLS.search(text)
        assert not re.search(r"(?<!\\)\]\(|https?://|<(?!br>)|(?<!\\)`|^\s*\[[^\]]*\]:|\bwww\.", text, re.MULTILINE)
        headings = [line for line in text.splitlines() if re.match(r"#+ heading", line)]
        assert not headings
    assert "0.0 [−" in table_document, "intervals stay readable"


def test_a_name_stays_one_cell_of_its_table(comparison: Comparison) -> None:
    tables = [part for part in table.markdown_document(comparison).split("\n\n") if part.startswith("| ")]
    assert tables
    for text in tables:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines()}
        assert len(widths) == 1


def test_latex_is_ascii_that_its_fonts_have(comparison: Comparison) -> None:
    text = latex.latex_document(comparison, decide(comparison).sentence)
    assert set(text) <= ALLOWED_IN_LATEX
    assert not re.search(r"\\(input|write|immediate)\b", text)
    assert "U+57FA U+7EBF" in text
    assert latex.CODE_POINT_NOTE in text
    assert r"\'{e}" in text


def test_latex_shows_flags_and_quotes_as_they_are_written() -> None:
    assert latex.escape_latex("--drop a---b ?`x` ''y") == "-{}-drop a-{}-{}-b ?{}`x` '{}'y"
    assert latex.escape_latex("“q” — *s") == "``q'' --- {*}s"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_pdflatex_typesets_the_table_of_any_names(comparison: Comparison, tmp_path: Path) -> None:
    packages = latex.PREAMBLE_NOTE.removeprefix("% needs ")
    names = re.sub(r".*\{(.*)\}", r"\1", packages).split(",")
    finder = ["kpsewhich", *(f"{name}.sty" for name in names)]
    if subprocess.run(finder, capture_output=True, check=False).returncode:
        pytest.skip(f"pdflatex has not all of {', '.join(names)}")
    table = latex.latex_document(comparison, decide(comparison).sentence)
    document = ["\\documentclass{article}", packages, "\\begin{document}", table, "\\end{document}"]
    (tmp_path / "all.tex").write_text("\n".join(document), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "all.tex"]
    end = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert end.returncode == 0, end.stdout[-2000:]
    assert "Missing character" not in (tmp_path / "all.log").read_text(encoding="utf-8", errors="replace")


@given(st.text())
def test_any_text_is_latex_with_balanced_braces_and_no_bare_special(text: str) -> None:
    escaped = latex.escape_latex(text)
    assert set(escaped) <= ALLOWED_IN_LATEX - {"\n"}
    commands = r"\\[\\#$%&_{}]|\\textbackslash\{\}|\\text[a-z]+\{\}|\\[A-Za-z]+(\{\})?|\\[`'^~=.\"]"
    plain = re.sub(commands, "", escaped)
    assert plain.count("{") == plain.count("}")
    assert not set(plain) & set("#%&_^~\\")
    assert plain.count("$") % 2 == 0


@pytest.mark.slow
def test_the_page_shows_controls_and_its_title_is_text(comparison: Comparison, tmp_path: Path) -> None:
    index, *_ = page.render(comparison, tmp_path)
    before_data = index.read_text().partition('<script type="application/json"')[0]
    assert not CONTROLS.search(before_data)
    assert "<b>bold" not in before_data


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("dpo@75 +3.0 [+1.0, +5.0]", "dpo@75 +3.0 [+1.0, +5.0]"),
        ("a_b", "a_b"),
        ("_a_", r"\_a\_"),
        ("# a", r"\# a"),
        ("- a", r"\- a"),
        ("1. a", r"1\. a"),
        ("@team", "@\u200bteam"),
        ("me@host.org", "me@\u200bhost.org"),
        ("a\nb", "a<br>b"),
        ("  task", "&nbsp;&nbsp;task"),
    ],
)
def test_markdown_is_escaped_where_it_would_act_and_only_there(text: str, shown: str) -> None:
    assert escape_markdown(text) == shown


@pytest.mark.parametrize(
    ("error", "line"),
    [(ValueError("\n one\ntwo"), "one"), (OSError(), "OSError"), (RuntimeError(" \n"), "RuntimeError")],
)
def test_an_error_of_many_lines_or_of_none_is_told_in_one(error: Exception, line: str) -> None:
    assert first_line(error) == line
