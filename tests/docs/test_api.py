"""The API page lists what is public: every name, and every method of what it lists."""

from __future__ import annotations

import inspect
import re
from importlib import import_module

import pytest

from tests.docs.conftest import DOCS

PAGE = (DOCS / "api.md").read_text()
MODULES = (
    "acni",
    "acni.blocking",
    "acni.skel",
    "acni.spec",
    "acni.netns",
    "acni.networks",
    "acni.observe",
    "acni.testing",
)

_ENTRY = re.compile(
    r"^\.\. auto(?P<kind>\w+):: (?P<name>[\w.]+)(?:\(\))?\n(?P<options>(?:   :.*\n)*)", re.MULTILINE
)
_MEMBERS = re.compile(r"^   :members:(?P<names>.*)$", re.MULTILINE)

# Called by open_runtime() at the end of the block.
NOT_FOR_CALLERS = {"acni.Runtime": {"close"}}


def entries() -> dict[str, tuple[str, set[str] | None]]:
    """Map each name that the page lists to its kind and the members listed (None: all)."""
    found: dict[str, tuple[str, set[str] | None]] = {}
    for entry in _ENTRY.finditer(PAGE):
        members = _MEMBERS.search(entry["options"])
        names = set(members["names"].replace(" ", "").split(",")) - {""} if members else set()
        is_all = members is not None and not names
        found[entry["name"]] = (entry["kind"], None if is_all else names)
    return found


ENTRIES = entries()


def listed() -> set[int]:
    """Collect the identities of all objects that the page lists, by themselves or by a module."""
    objects = set()
    for name, (kind, members) in ENTRIES.items():
        objects.add(id(resolved(name)))
        if kind == "module" and members is None:
            module = import_module(name)
            objects |= {id(getattr(module, member)) for member in module.__all__}
    return objects


def resolved(name: str) -> object:
    """Find what a dotted name means; a name of a package comes before its module of that name."""
    value: object = import_module("acni")
    reached = "acni"
    for part in name.split(".")[1:]:
        reached = f"{reached}.{part}"
        value = getattr(value, part) if hasattr(value, part) else import_module(reached)
    return value


def test_the_page_lists_something() -> None:
    assert len(ENTRIES) > 50


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_on_the_page(module: str) -> None:
    there = listed()
    home = import_module(module)
    rooms = {"blocking", "errors", "events", "netns", "networks", "observe", "skel", "spec"}
    submodules = rooms if module == "acni" else set()
    missing = [n for n in home.__all__ if id(getattr(home, n)) not in there and n not in submodules]
    assert missing == []
    assert all(f"acni.{name}" in ENTRIES for name in submodules)


# Not the NewTypes, which have no methods.
CLASSES = [
    name
    for name, (kind, _) in ENTRIES.items()
    if kind == "class" and inspect.isclass(resolved(name))
]


@pytest.mark.parametrize("name", CLASSES)
def test_every_public_method_of_a_class_is_listed_with_it(name: str) -> None:
    kind = resolved(name)
    assert inspect.isclass(kind)
    public = {
        member
        for member, value in vars(kind).items()
        if not member.startswith(("_", "test_"))
        and (inspect.isfunction(value) or isinstance(value, (property, classmethod, staticmethod)))
    }
    _, members = ENTRIES[name]
    assert members is not None
    assert public - NOT_FOR_CALLERS.get(name, set()) == members & set(vars(kind))


FUNCTIONS = [name for name, (kind, _) in ENTRIES.items() if kind == "function"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_names_each_of_its_parameters(name: str) -> None:
    """Sphinx prints the signature from the code; the words must be of the same parameters."""
    function = resolved(name)
    assert callable(function)
    doc = inspect.getdoc(function) or ""
    _, _, arguments = doc.partition("Args:\n")
    described = re.findall(r"^    (\w+):", arguments.split("\n\n")[0], re.MULTILINE)
    parameters = [p.lstrip("*") for p in inspect.signature(function).parameters]
    assert described in ([], parameters)
