"""YAML files of users and strangers: plain data alone, of a bounded size and depth, each key once.

A few hundred bytes of YAML can stand for more nodes than there is memory, by aliases of aliases, or for a structure that holds
itself: what a file stands for is counted from its events, before anything of it is built.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from harness.bounded_files import read_bytes
from harness.json_texts import MAX_DEPTH
from harness.types import SkilldeltaError, unknown_name
from harness.visible_text import printable

MAX_BYTES = 16_000_000
MAX_NODES = 200_000  # with each alias counted as what it stands for
CONSTRUCTION_ERRORS = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.  SkilldeltaError for anything else."""
    import yaml

    if not path.exists() and not path.is_symlink():
        raise SkilldeltaError(f"There is no file {path}.")
    try:
        text = read_bytes(path, MAX_BYTES)
        check_size(yaml.parse(text, Loader=fast_loader()))
        content = yaml.load(text, Loader=strict_loader())  # noqa: S506  a SafeLoader
    except yaml.YAMLError as error:
        raise SkilldeltaError(f"{path} is not YAML: {printable_lines(str(error))}") from error
    except CONSTRUCTION_ERRORS as error:
        raise SkilldeltaError(f"{path} cannot be read: {printable(str(error))[:300]}.") from error
    if not isinstance(content, dict):
        raise SkilldeltaError(f"{path} holds {type(content).__name__}, not names and values.")
    return content


def find_yaml(name: str, noun: str, folder: Path, fits: Callable[[Path], bool] = Path.is_file) -> Path:
    """A file, where the name ends like one; else that of a folder of the program, of those in it that fit."""
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    names = sorted(path.stem for path in folder.glob("*.yaml") if fits(path))
    if name not in names:
        error = unknown_name(noun, name, names)
        state = "is a folder" if Path(name).is_dir() else "is a file of another name" if Path(name).exists() else ""
        raise SkilldeltaError(f"{error}  {name} {state}: a file of your own ends in .yaml." if state else str(error))
    return folder / f"{name}.yaml"


def printable_lines(text: str) -> str:
    return "\n".join(printable(line) for line in text.splitlines())[:2_000]


def check_size(events: Iterable[Any]) -> None:
    """Raises ValueError for a document that is too deep, too large with its aliases, or that holds itself."""
    import yaml

    sizes: dict[str, int | None] = {}  # of anchors; None while the node is open
    open_nodes: list[tuple[str, int]] = []  # the anchor of each open list or mapping, and the nodes before it
    count = 0
    for event in events:
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            sizes[anchor] = count - before
        elif isinstance(event, yaml.AliasEvent):
            size = sizes.get(event.anchor or "", 1)
            if size is None:
                raise ValueError(f"the alias *{event.anchor} stands within what it stands for")
            count += size
        elif isinstance(event, yaml.NodeEvent):
            anchor, before = event.anchor or "", count
            count += 1
            if isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append((anchor, before))
                sizes[anchor] = None
            else:
                sizes[anchor] = 1
        if len(open_nodes) > MAX_DEPTH:
            raise ValueError("it is nested too deeply")
        if count > MAX_NODES:
            raise ValueError(f"it stands for more than {MAX_NODES:,} values, by aliases of aliases")


def fast_loader() -> Any:
    """PyYAML's safe loader over libyaml, which is ten times as fast; in Python where PyYAML was built without it."""
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def strict_loader() -> Any:
    """The safe loader takes of two equal keys the last; this one refuses them."""
    import yaml

    class StrictLoader(fast_loader()):  # type: ignore[misc]
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
            keys = [(key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
            if twice := next((key for key, count in Counter(keys).items() if count > 1), None):
                raise yaml.constructor.ConstructorError(None, None, f"the key {twice[1]!r} is there twice", node.start_mark)
            mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
            return mapping

    return StrictLoader
