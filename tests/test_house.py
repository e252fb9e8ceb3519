"""The house holds what it promises: rooms import downwards, libraries stay behind their doors, sizes and names keep to budgets.

The measures are those that `python -m tests.measure` prints; with `--list` it names everything that is beyond its budget.
"""

import ast
import sys
from functools import cache

import pytest

from harness import registry
from tests import measure
from tests.measure import ROOT, find_cycle, import_graph, imported_modules, longest_chain, name_of

# From the ground upwards.  A file imports from its own room and from earlier ones, never from a later one.
ROOMS = [
    "harness/types.py",
    "harness/rust_panics.py",
    "harness/bounded_work.py",
    "harness/visible_text.py",
    "harness/json_texts.py",
    "harness/library_messages.py",
    "harness/shares.py",
    "harness/wrong_values.py",
    "harness/noise.py",
    # files and plug-ins
    "harness/bounded_files.py",
    "harness/folder_entries.py",
    "harness/typed_fields.py",
    "harness/file_locks.py",
    "harness/own_folders.py",
    "harness/folder_claims.py",
    "harness/differences.py",
    "harness/parent_process.py",
    "harness/system_errors.py",
    "harness/atomic_files.py",
    "harness/results_marker.py",
    "harness/json_lines.py",
    "harness/csv_files.py",
    "harness/grouping.py",
    "harness/file_hashes.py",
    "harness/integrity.py",
    "harness/hub_cache.py",
    "harness/tokenizer_folders.py",
    "harness/tokenizer_problems.py",
    "harness/numbered_folders.py",
    "harness/checkpoint_folders.py",
    "harness/own_template.py",
    "harness/name_value_pairs.py",
    "harness/yaml_files.py",
    "harness/config.py",
    "harness/fingerprint.py",
    "harness/own_packages.py",
    "harness/task_folders.py",
    "harness/own_tasks.py",
    "harness/registry.py",
    "harness/json_values.py",
    "harness/secret_spellings.py",
    "harness/redaction.py",
    "harness/records.py",
    "harness/mean_rules.py",
    "harness/sample_lines.py",
    "harness/sample_files.py",
    "harness/example_rows.py",
    "harness/store.py",
    "harness/row_bounds.py",
    "harness/task_faults.py",
    "harness/data.py",
    "harness/suites.py",
    "harness/run_logs/",
    "harness/training_log.py",
    "harness/published.py",
    "harness/server_address.py",
    "harness/http_errors.py",
    "harness/http_replies.py",
    "harness/http_streams.py",
    "harness/http.py",
    # mathematics, and what asks and confines
    "harness/statistics/",
    "harness/engine/",
    "harness/prompts/",
    "harness/sandbox/",
    "harness/world/",
    # plug-ins that need no other room
    "harness/checkpoint_names.py",
    "harness/checkpoint_methods.py",
    "harness/checkpoint_states.py",
    "harness/checkpoint_selection.py",
    "harness/checkpoints/",
    "harness/named_bases.py",
    "harness/missing_checkpoints.py",
    "harness/discovery.py",
    "harness/loading/",
    "harness/grading/",
    "harness/judge_binding.py",
    # scoring, comparing, exchanging
    "harness/comparison/",
    "harness/trackers/",
    "harness/tracking.py",
    "harness/evaluation/",
    "harness/cluster/",
    "harness/interchange/",
    "harness/formats/",
    "tasks/",
    "harness/server_settings.py",
    "harness/server_names.py",
    "harness/server_logprobs.py",
    "harness/server_requests.py",
    "harness/server_meter.py",
    "harness/vllm_package.py",
    "harness/vllm_worker.py",
    "harness/vllm_adapters.py",
    "harness/vllm_engine.py",
    "harness/backends/",
    "harness/lm_eval_model.py",
    # training, and grids of it
    "harness/training/",
    "harness/trainers/",
    "harness/judges/",
    "harness/studies/",
    "harness/behaviour/",
    # what people use
    "reports/",
    "harness/api.py",
    "harness/__init__.py",
    "harness/cli/",
    "harness/__main__.py",
]
MODEL_ROOMS = [
    "harness/loading/",
    "harness/backends/",
    "harness/engine/",
    "harness/prompts/",
    "harness/trainers/",
    "harness/training/",
    "harness/judges/",
]
DOORS = {
    "torch": MODEL_ROOMS,
    "transformers": [*MODEL_ROOMS, "harness/evaluation/callback.py"],
    "vllm": ["harness/backends/vllm.py", "harness/vllm_engine.py"],
    "peft": ["harness/loading/", "harness/training/"],
    "lm_eval": ["harness/backends/lm_eval.py", "harness/lm_eval_model.py", "tasks/lm_eval.py"],
    "datasets": ["harness/data.py"],
    "jsonlines": ["harness/json_lines.py"],
    "matplotlib": ["reports/"],
    "tensorboard": ["harness/trackers/tensorboard.py"],
    "wandb": ["harness/trackers/wandb.py"],
    "mlflow": ["harness/trackers/mlflow.py"],
    "trackio": ["harness/trackers/trackio.py"],
    "ray": ["harness/cluster/"],
    "submitit": ["harness/cluster/"],
    measure.COMPUTED_NAME: [
        "harness/registry.py",  # a plug-in
        "harness/own_packages.py",
        "harness/task_folders.py",  # somebody's own files
        "harness/sandbox/inside/template.py",  # a library that programs may use
        "harness/studies/stage_process.py",  # a stage's command
    ],
    "pickle": [],
    "dill": [],
}
FILES = measure.source_files()


@cache
def graph() -> dict[str, set[str]]:
    """Which files each file imports."""
    return import_graph(FILES)


@cache
def measures() -> measure.Measures:
    return measure.measure(FILES)


def room_of(file: str) -> int:
    """The place in ROOMS of the room that holds a file."""
    rooms = [room for room in ROOMS if file == room or (room.endswith("/") and file.startswith(room))]
    assert rooms, f"{file} is in no room: give it one in ROOMS"
    return ROOMS.index(max(rooms, key=len))


@pytest.mark.parametrize("file", [name_of(path) for path in FILES])
def test_a_file_imports_only_from_its_own_room_and_earlier_ones(file: str) -> None:
    later = sorted(target for target in graph()[file] if room_of(target) > room_of(file))
    assert not later, f"{file} ({ROOMS[room_of(file)]}) imports {', '.join(later)}: a later room"


@pytest.mark.parametrize(
    "text",
    [
        "from harness import watch",
        "def f():\n    from harness import watch",
        "import harness.watch as w",
        "if TYPE_CHECKING:\n    import harness.watch",
        "from ..watch import hold",
        'importlib.import_module("harness.watch")',
        'importlib.import_module(name="harness.watch")',
        'from importlib import import_module as load\nload("harness.watch")',
        '__import__("harness.watch")',
        'import_module("harness.watch" if late else "harness.api")',
        'import_own("harness.watch")',
    ],
)
def test_an_import_is_seen_in_every_form(text: str) -> None:
    assert "harness.watch" in imported_modules(ROOT / "harness" / "statistics" / "pareto.py", ast.parse(text))


@pytest.mark.parametrize("text", ['import_module(f"{room}.file")', "__import__(name)", "import_own(name='harness.' + room)"])
def test_an_import_of_a_computed_name_is_seen(text: str) -> None:
    assert imported_modules(ROOT / "harness" / "registry.py", ast.parse(text)) == {measure.COMPUTED_NAME}


def test_a_package_counts_as_a_file_of_its_room() -> None:
    assert measure.file_of("harness.studies") == "harness/studies/__init__.py"
    assert room_of("harness/studies/__init__.py") == ROOMS.index("harness/studies/")


def test_every_room_and_every_door_exists() -> None:
    for place in [*ROOMS, *(door for doors in DOORS.values() for door in doors)]:
        assert (ROOT / place).exists(), f"{place} is not there: take it out of the list"


@pytest.mark.slow
@pytest.mark.parametrize("library", DOORS)
def test_a_library_stays_behind_its_door(library: str) -> None:
    users = {name_of(path) for path in FILES if any(m.split(".")[0] == library for m in imported_modules(path))}
    outside = {file for file in users if not any(file == d or (d.endswith("/") and file.startswith(d)) for d in DOORS[library])}
    assert not outside, f"{library} is imported by {', '.join(sorted(outside))}"
    assert users or not DOORS[library], f"nothing imports {library}: the door leads nowhere"


def test_there_are_no_import_cycles() -> None:
    assert not find_cycle(graph())


@pytest.mark.slow
def test_a_chain_of_imports_is_short() -> None:
    chain = longest_chain(import_graph(FILES, when_loaded=True))
    assert len(chain) <= measure.CHAIN, " > ".join(chain)


def test_nouns_need_only_the_standard_library() -> None:
    outside = {m.split(".")[0] for m in imported_modules(ROOT / "harness/types.py")} - set(sys.stdlib_module_names)
    assert not outside


@pytest.mark.parametrize("kind", registry.KINDS)
def test_a_room_of_plug_ins_holds_plug_ins_alone(kind: str) -> None:
    folder = ROOT / registry.KINDS[kind].package.replace(".", "/")
    sharing = [k for k in registry.KINDS if registry.KINDS[k].package == registry.KINDS[kind].package]
    plug_ins = {name for each in sharing for name in registry.modules(each)}
    helpers = {path.stem for path in folder.glob("[!_]*.py")} - plug_ins
    assert not helpers, f"{folder.name}/ holds {', '.join(sorted(helpers))}, which no kind of plug-in knows"


def test_sizes_and_names_keep_to_their_budgets() -> None:
    beyond = [line for line in measure.over_budget(measures()) if not line.startswith("participle")]
    assert not beyond, "\n" + "\n".join(beyond)


def test_names_say_what_they_hold() -> None:
    share = sum(measures().participles.values()) / measures().stored
    assert share <= measure.PARTICIPLE_SHARE, f"{100 * share:.2f} %: {measures().participles.most_common(20)}"


def test_the_measure_knows_a_participle_from_a_noun() -> None:
    words = ["found", "asked", "_told", "chosen", "checked", "seed", "red", "feed", "records"]
    assert [word for word in words if measure.is_participle(word, "harness/store.py")] == words[:5]
    assert not measure.is_participle("chosen", "harness/training/losses.py")
