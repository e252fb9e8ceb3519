"""Published tables: consistent in themselves, cited by name, and nothing filled in that was not found."""

from pathlib import Path

import pytest

from harness import published
from harness.types import SKILLS, SkilldeltaError

STUDY = "unpacking-dpo-ppo"
HALF = 0.0501  # what rounding the average to one decimal can make of it


def tables() -> list[published.PublishedTable]:
    return [t for study in published.study_names() for t in published.load_study(study).tables.values()]


def value(table: str, row: str, column: str) -> float:
    found = published.find_figure(STUDY, table, row, column)
    assert found.value is not None
    return found.value


def rows_with_every_skill() -> list[tuple[published.PublishedTable, str]]:
    columns = {*SKILLS, "average"}
    return [
        (table, row)
        for table in tables()
        if columns <= set(table.layout.columns)
        for row in table.layout.rows
        if all(table.figure(row, c).value is not None for c in columns)
    ]


def test_the_average_is_the_unweighted_mean_of_the_six_skills() -> None:
    rows = rows_with_every_skill()
    assert len(rows) >= 29
    for table, row in rows:
        mean = sum(table.figure(row, s).value or 0.0 for s in SKILLS) / len(SKILLS)
        assert table.figure(row, "average").value == pytest.approx(mean, abs=HALF), (table.name, row)


@pytest.mark.parametrize("skill", [*SKILLS, "average"])
def test_the_mean_of_ppo_minus_dpo_is_that_of_its_rows(skill: str) -> None:
    groups = published.load_study(STUDY).table("table2").layout.groups
    gains = [value("table2", p, skill) - value("table2", d, skill) for p, d in zip(groups["PPO"], groups["DPO"], strict=True)]
    told = value("table2-differences", "mean of the five", skill)
    assert told == pytest.approx(sum(gains) / len(gains), abs=HALF)


def test_a_model_that_several_tables_have_scores_the_same_in_each() -> None:
    sft = "Tülu 2 13B (SFT)"
    for row, other in ((sft, sft), ("DPO", "UltraFeedback (fine-grained)")):
        for column in (*SKILLS, "average"):
            assert value("table5", row, column) == value("table1", other, column)
    for row, other in (("DPO", "DPO on UltraFeedback"), ("PPO with 13B RM", "PPO on UltraFeedback")):
        for column in (*SKILLS, "average"):
            assert value("table5", row, column) == value("table2", other, column)
    for column in ("average", "gsm8k"):
        assert value("table3", "70B UltraFeedback RM", column) == value("table5", "PPO with 70B RM", column)
        assert value("figure1", "PPO with 13B RM", column) == value("table5", "PPO with 13B RM", column)


def test_every_row_of_table_1_is_of_one_kind() -> None:
    written = published.load_study(STUDY).table("table1").layout
    named = [row for rows in written.groups.values() for row in rows]
    assert sorted(named) == sorted(written.rows)
    assert len(written.groups["web"] + written.groups["human"] + written.groups["synthetic"]) == 14


def test_every_figure_has_a_source_that_is_explained_and_points_stay_within_bounds() -> None:
    for table in tables():
        sources = published.load_study(table.study).sources
        for figure in table.figures.values():
            assert figure.sources
            assert set(figure.sources) <= set(sources)
            if figure.value is not None and figure.column not in table.layout.counts:
                assert (-100 if table.layout.differences else 0) <= figure.value <= 100


def test_what_was_not_found_stays_not_found() -> None:
    found = published.find_figure(STUDY, "table5", "PPO with 70B RM", "coding")
    assert (found.value, found.state) == (None, "not found")
    assert published.find_figure(STUDY, "table1", "Llama 2 13B (base)", "average").state == "none"


def test_a_figure_read_off_a_chart_says_so() -> None:
    found = published.find_figure(STUDY, "table5", "PPO with 13B RM", "alpaca_eval 2 LC")
    assert (found.value, found.approximate, found.certainty, found.sources) == (26.0, True, "low", ("blog",))


def test_a_cell_has_its_own_certainty_and_note_and_the_tables_otherwise() -> None:
    assert published.find_figure(STUDY, "table1", "Nectar", "coding").certainty == "medium-high"
    assert published.find_figure(STUDY, "table1", "HelpSteer", "average").certainty == "high"
    assert "58,933" in published.find_figure(STUDY, "table1", "UltraFeedback (overall)", "pairs").note


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("unpacking", "table1", "Nectar", "average"), r"no published study 'unpacking'.*Did you mean 'unpacking-dpo-ppo'"),
        ((STUDY, "table6", "Nectar", "average"), r"no published table .*'table6'.*There are: figure1, .*table5"),
        ((STUDY, "table1", "Nectarine", "average"), r"no row in table1 .*'Nectarine'.*Did you mean 'Nectar'"),
        ((STUDY, "table1", "Nectar", "avg"), r"no column in table1 .*'avg'.*There are: average, coding"),
    ],
)
def test_an_unknown_name_lists_what_there_is(names: tuple[str, str, str, str], said: str) -> None:
    with pytest.raises(SkilldeltaError, match=said):
        published.find_figure(*names)


def test_tables_are_chosen_by_study_or_one_by_one_and_each_only_once() -> None:
    every = published.select_tables([STUDY])
    assert [t.name for t in every][:2] == ["table1", "table2"]
    assert published.select_tables([f"{STUDY}:table5", STUDY, f"{STUDY}:table5"])[0] is published.load_study(STUDY).table(
        "table5"
    )
    assert len(published.select_tables([f"{STUDY}:table5", STUDY])) == len(every)


FILE = """
summary: Somebody 2026
sources: {web: a page}
tables:
  table1:
    title: Table 1
    sources: [web]
    certainty: medium
    columns: [average, coding]
    rows:
      sft: [50.0, nf]
      dpo: ["≈52", 40]
    exceptions:
      - {rows: [dpo], certainty: low}
"""


def test_anybodys_tables_are_read_from_a_file_that_a_person_edits(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(FILE)
    table = published.read_study(path).table("table1")
    assert [table.figure("dpo", c).value for c in ("average", "coding")] == [52.0, 40.0]
    assert table.figure("dpo", "coding").certainty == "low"
    assert table.figure("sft", "coding").state == "not found"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[50.0, nf]", "[50.0]"), "table1, sft: 1 figures for 2 columns"),
        (("[50.0, nf]", "[50.0, lots]"), r"table1, sft, coding: 'lots' is neither a number"),
        (("[50.0, nf]", "[50.0, .nan]"), "neither a number"),
        (("rows: [dpo]", "rows: [ppo]"), "table1 names 'ppo'"),
        (("certainty: low", "certainty: sure"), "certainty: .*not 'sure'"),
        (("certainty: low", "certain: low"), "no setting 'certain'"),
        (("sources: [web]", "sources: [wbe]"), "the source 'wbe' is not described"),
        (("title: Table 1", "titel: Table 1"), "no setting 'titel'"),
    ],
)
def test_a_faulty_file_says_what_is_wrong_and_where(change: tuple[str, str], said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(FILE.replace(*change))
    with pytest.raises(SkilldeltaError, match=said):
        published.read_study(path)
