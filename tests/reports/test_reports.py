"""Tables and plots of a comparison: every number is there, nothing that a model or a folder is named breaks them."""

import csv
import io
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from harness import published
from harness.cli.compare import print_comparison
from harness.comparison.compare import compare
from harness.comparison.number_format import format_number
from harness.comparison.result import Comparison
from harness.evaluation.questions import EvaluationSettings
from harness.evaluation.run import score_checkpoints
from harness.store import Results
from harness.types import Request, Response
from reports import delta_plot, page, published_table, table
from reports.layout import latex, published_tables, text_tables
from tests.support import toys

ODD = "dpo|<b>$x_1$ & 100%"


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """A baseline that is right half of the time, and a candidate with an odd name that is always right in one skill of two."""
    folder = tmp_path_factory.mktemp("reports") / "results"
    tasks = [replace(toys.adding(60, "sums"), skill="reasoning"), replace(toys.adding(40, "facts"), skill="factuality")]

    def half(request: Request) -> Response:
        right = toys.answer_sum(request)
        return right if int(right.text) % 4 else Response("no", finish="length")

    results = Results.make(folder)
    score_checkpoints([toys.checkpoint("sft")], tasks, lambda _: toys.model(half), results, EvaluationSettings())
    score_checkpoints([toys.checkpoint(ODD)], tasks[:1], lambda _: toys.model(), results, EvaluationSettings())
    score_checkpoints([toys.checkpoint(ODD)], tasks[1:], lambda _: toys.model(half), results, EvaluationSettings())
    return compare(folder, "sft")


def test_the_average_comes_first_and_skills_in_the_studys_order(comparison: Comparison) -> None:
    assert text_tables.score_matrix(comparison).columns == ("checkpoint", "average", "factuality", "reasoning")


def test_the_tables_hold_the_comparisons_numbers(comparison: Comparison) -> None:
    row = comparison.row(ODD, "skill", "reasoning")
    assert row.difference is not None
    (detail,) = text_tables.detail_tables(comparison)
    (line,) = [r for r in detail.rows if r[0] == "reasoning: sums"]
    assert line[1:4] == ("60", "50.0", "100.0")
    assert format_number(row.difference.delta, signed=True) == "+50.0"
    assert line[4].startswith("+50.0 [")
    assert line[8] == "0 / 30"
    assert line[9] == "better"
    (same,) = [r for r in detail.rows if r[0] == "factuality: facts"]
    assert same[4].startswith("0.0 [")
    assert same[9] == "inconclusive"


def test_markdown_survives_odd_names(comparison: Comparison, tmp_path: Path) -> None:
    markdown, _, typeset = table.render(comparison, tmp_path)
    text = markdown.read_text()
    assert "<b>" not in text
    (matrix,) = [part for part in text.split("\n## ") if part.startswith(text_tables.MATRIX_TITLE)]
    (line,) = [line for line in matrix.splitlines() if line.startswith("| dpo")]
    assert len(line.replace(r"\|", "").strip("|").split("|")) == 4
    assert r"\$x\_1\$ \& 100\%" in typeset.read_text()


def test_an_interval_never_follows_a_latex_line_break_bare(comparison: Comparison, tmp_path: Path) -> None:
    """After a line break LaTeX reads [12] as the space to leave, and stops."""
    text = table.render(comparison, tmp_path)[2].read_text()
    assert r"\\[" not in text.replace(" ", "")
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    assert r"\makecell[tr]{75.0\\+25.0 $\blacktriangle$\\{\scriptsize {[}+16.8, +33.2{]}}}" in text


def test_a_long_table_is_split_between_floats_and_a_long_name_between_lines() -> None:
    name = "meta-llama-3.1-8b-tulu-3-dpo-ultrafeedback-lr5e-7-beta0.1-ep3@1200/偏好"
    cells = ("50.0\n+1.0 ·\n[-1.0, +2.0]",) * 6
    rows = tuple((f"{name}{i}", *cells) for i in range(31))
    text = latex.latex_table(text_tables.TextTable("Scores", ("checkpoint", *"abcdef"), rows), ["a note"])
    floats = text.split(r"\end{table}")[:-1]
    assert [part.count("{-}1.0") + part.count("$-$1.0") + part.count("[}-1.0") for part in floats] == [72, 72, 42, 0]
    assert [r"\caption{Scores}" in part for part in floats] == [True, False, False, False]
    assert text.count(r"\caption{Scores (continued)}") == 2
    assert "a note" in floats[-1]
    lines_of_name = latex.latex_name(rows[3][0])
    assert lines_of_name.startswith(r"\makecell[tl]{meta-llama-3.1-8b-tulu-3-\\dpo-ultrafeedback-lr5e-7-\\")
    lines = lines_of_name.removeprefix(r"\makecell[tl]{").removesuffix("}").split(r"\\")
    assert "".join(lines) == latex.escape_latex(rows[3][0])
    assert max(map(len, lines)) <= latex.NAME_WIDTH + 1
    assert latex.latex_name("dpo@100") == "dpo@100"


def test_many_columns_give_the_interval_a_line_of_its_own(comparison: Comparison) -> None:
    assert text_tables.score_matrix(comparison, tall=True).rows[1][1].split("\n")[1:] == ["+25.0 ▲", "[+16.8, +33.2]"]
    assert text_tables.score_matrix(comparison).rows[1][1].split("\n")[1:] == ["+25.0 [+16.8, +33.2] ▲"]


@pytest.mark.slow
def test_published_figures_stand_beside_in_every_output_marked_as_others(
    comparison: Comparison, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = replace(
        comparison, published_tables=published.select_tables(["unpacking-dpo-ppo:table5", "unpacking-dpo-ppo:table4"])
    )
    markdown, _, typeset = table.render(beside, tmp_path)
    print_comparison(beside)
    (index, *_), (flat,) = page.render(beside, tmp_path), published_table.render(beside, tmp_path)
    for text in (markdown.read_text(), typeset.read_text(), index.read_text(), capsys.readouterr().out):
        for shown in (
            "Published, other models",
            "Table 5",
            "56.0 H",
            "26 L",
            "nf",
            "never paired with them nor tested",
            "blog",
        ):
            assert shown in text
    lines = {(r["table"], r["row"], r["column"]): r for r in csv.DictReader(io.StringIO(flat.read_text()))}
    assert len(lines) == 54 + 14
    assert lines["table5", "PPO with 13B RM", "coding"]["value"] == "47.7"
    assert (lines["table5", "PPO with 70B RM", "coding"]["value"], lines["table5", "PPO with 70B RM", "coding"]["state"]) == (
        "",
        "not found",
    )
    assert not any("Tülu" in f.read_text() for f in table.render(comparison, tmp_path))
    assert published_table.render(comparison, tmp_path / "none") == []


def test_published_columns_stand_in_the_order_of_ones_own() -> None:
    found = published_tables.render_table(
        published.load_study("unpacking-dpo-ppo").table("table5"), ["average", "safety", "gsm8k", "mine"]
    )
    assert found.columns[:5] == ("published", "average", "safety", "gsm8k", "factuality")
    assert found.rows[0][:4] == ("Tülu 2 13B (SFT)", "56.8 H", "91.8 H", "46.0 H")


def test_the_csv_has_every_row(comparison: Comparison, tmp_path: Path) -> None:
    _, flat, _ = table.render(comparison, tmp_path)
    lines = list(csv.DictReader(io.StringIO(flat.read_text())))
    assert len(lines) == len(comparison.rows)
    found = {(r["checkpoint"], r["level"], r["name"]): r for r in lines}
    assert float(found[ODD, "task", "sums"]["delta"]) == pytest.approx(50)
    assert found["sft", "task", "sums"]["delta"] == ""


def test_the_plot_is_the_same_bytes_each_time_and_shows_every_row(comparison: Comparison, tmp_path: Path) -> None:
    png, svg = delta_plot.render(comparison, tmp_path / "a")
    again = delta_plot.render(comparison, tmp_path / "b")
    assert [p.read_bytes() for p in (png, svg)] == [p.read_bytes() for p in again]
    text = "".join(ET.parse(svg).getroot().itertext())
    for shown in ("average", "reasoning", "factuality", "+50.0", "$x_1$"):
        assert shown in text


def test_nothing_is_plotted_without_a_candidate(comparison: Comparison, tmp_path: Path) -> None:
    alone = replace(
        comparison,
        rows=tuple(r for r in comparison.rows if r.checkpoint == "sft"),
        checkpoints={"sft": comparison.checkpoints["sft"]},
    )
    assert delta_plot.render(alone, tmp_path) == []
