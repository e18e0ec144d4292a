"""Every public name shows an example in its docstring, and the examples run.

What they assume is said at the top of docs/api.md and made by :func:`prepared`.
"""

from __future__ import annotations

import ast
import doctest
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest

import acni
from acni import netns, networks, skel, spec, testing
from acni.testing import RecordingPlugins, ScriptedRunner

pytestmark = pytest.mark.netns

MODULES = (
    "acni",
    "acni.blocking",
    "acni.errors",
    "acni.events",
    "acni.netns",
    "acni.networks",
    "acni.observe",
    "acni.skel",
    "acni.spec",
    "acni.testing",
)

_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_METHODS = (property, classmethod, staticmethod)


def public_docstrings() -> dict[str, str]:
    """Map each public module and name, methods and properties included, to its docstring."""
    found: dict[str, str] = {}
    for place in MODULES:
        module = import_module(place)
        found[place] = module.__doc__ or ""
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                found[f"{place}.{name}"] = value.__doc__ or ""
            elif not inspect.ismodule(value):
                found[f"{place}.{name}"] = assignment_docstrings().get(name, "")
            if inspect.isclass(value):
                found |= {f"{place}.{name}.{key}": doc for key, doc in method_docstrings(value)}
    return found


def method_docstrings(kind: type) -> Iterator[tuple[str, str]]:
    """Iterate over the public methods that a class defines, and their docstrings."""
    for name, value in vars(kind).items():
        is_method = inspect.isfunction(value) or isinstance(value, _METHODS)
        if is_method and not name.startswith(("_", "test_")):
            yield name, value.__doc__ or ""


@cache
def assignment_docstrings() -> dict[str, str]:
    """Map the constants and NewTypes of acni.spec and acni.testing to the docstrings below them,
    which only the source has.
    """
    found: dict[str, str] = {}
    homes = [Path(str(module.__file__)).parent for module in (spec, testing)]
    for path in (path for home in homes for path in home.glob("*.py")):
        for statement, below in pairwise(ast.parse(path.read_text()).body):
            match below:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    found |= dict.fromkeys(_assigned_names(statement), text)
                case _:
                    pass
    return found


def _assigned_names(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]):
            return [name]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case _:
            return []


DOCSTRINGS = public_docstrings()


@pytest.fixture
def prepared(tmp_path: Path, state_dir: Path, scripted: ScriptedRunner) -> Iterator[dict[str, Any]]:
    """What the examples assume."""
    network = networks.from_plugins(
        "dbnet",
        {"type": "bridge"},
        {"type": "portmap", "capabilities": {"portMappings": True}},
        version="1.1.0",
    )
    conf_dir = tmp_path / "net.d"
    conf_dir.mkdir()
    (conf_dir / "dbnet.conflist").write_text(network.effective())

    plugins = RecordingPlugins(tmp_path / "plugins")
    plugins.install("bridge", "portmap")
    places: dict[str, Any] = {
        "state_dir": state_dir,
        "conf_dir": conf_dir,
        "plugin_dirs": [plugins.directory],
    }

    def runtime_over(
        runner: acni.Runner, **settings: Any
    ) -> AbstractAsyncContextManager[acni.Runtime]:
        return acni.open_runtime(runner=runner, **{**places, **settings})

    def call(method: str, *arguments: object) -> object:
        async def main() -> object:
            async with runtime_over(scripted) as runtime:
                return await getattr(runtime, method)(*arguments)

        return anyio.run(main)

    def called(verb: Callable[[skel.Call], object], **members: object) -> object:
        returned: list[object] = []

        def add(call: skel.Call) -> acni.Result:
            returned.append(verb(call))
            return skel.make_result()

        verbs = skel.Verbs(add=add, delete=lambda _: None)
        with acni.BuiltIns(plugins={**acni.BuiltIns().plugins, "mine": verbs}) as runner:
            mine = networks.from_plugins("local", {"type": "mine", **members}, version="1.1.0")

            async def main() -> None:
                async with runtime_over(runner) as runtime:
                    await runtime.add(mine, attachment)
                    await runtime.delete(attachment)

            anyio.run(main)
        return returned.pop()

    with netns.anonymous() as box:
        attachment = acni.Attachment(container_id="web", netns=box)
        yield {
            "acni": acni,
            "anyio": anyio,
            "netns": netns,
            "skel": skel,
            "spec": spec,
            "testing": testing,
            "network": network,
            "attachment": attachment,
            "state_dir": state_dir,
            "conf_dir": conf_dir,
            "scripted": scripted,
            "plugins": plugins,
            "runtime_over": runtime_over,
            "call": call,
            "called": called,
        }


def test_there_are_public_names() -> None:
    assert len(DOCSTRINGS) > 150


@pytest.mark.parametrize("name", DOCSTRINGS)
def test_a_public_name_has_an_example_that_runs(name: str, prepared: dict[str, Any]) -> None:
    examples = doctest.DocTestParser().get_examples(inspect.cleandoc(DOCSTRINGS[name]), name)
    assert examples, "no example"
    test = doctest.DocTest(examples, prepared, name, None, None, None)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=_FLAGS)
    runner.run(test, out=said.append)
    assert said == []
