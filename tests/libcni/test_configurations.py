"""What libcni and acni make of the same configuration, a list or the file of one plugin.

The same is: both refuse it, or both have the same name, version, disableCheck and, for each plugin,
the same type, the same capabilities declared true, and the same configuration as a JSON value.
Whatever differs is intended and has a row in ``intended.py``, or is a defect and says so.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import field, frozen

from acni import AcniError, parse_network
from acni.spec import NetworkConfig, parse_single
from tests.libcni.answers import Refused, ask, encoded, kind_of, parameters, shown
from tests.libcni.intended import CONFIGURATIONS, Kind


@frozen(kw_only=True)
class Case:
    """A configuration.

    Attributes:
        document: Its bytes.
        is_single: It is the file of one plugin, no list.
        intended: The row of ``CONFIGURATIONS`` by which the sides differ, or None.
        version: Where both take it: the version that acni selects.
        defect: What is wrong with acni here, or None.
    """

    document: bytes
    is_single: bool = False
    intended: str | None = field(default=None, eq=False)
    version: str = field(default="1.0.0", eq=False)
    defect: str | None = field(default=None, eq=False)

    def __str__(self) -> str:
        return f"{'single ' if self.is_single else ''}{shown(self.document)}"


def ours(case: Case) -> Any:
    parse = parse_single if case.is_single else parse_network
    try:
        return loaded(parse(case.document))
    except AcniError as error:
        return Refused(str(error))


def loaded(network: NetworkConfig) -> dict[str, object]:
    return {
        "name": network.name,
        "cniVersion": network.cni_version,
        "disableCheck": network.disable_check,
        "plugins": [
            (plugin.type, plugin.capabilities, json.loads(plugin.text))
            for plugin in network.plugins
        ],
    }


def theirs(program: Path, documents: Iterable[tuple[bytes, bool]]) -> list[Any]:
    questions = [{"document": encoded(raw), "single": is_single} for raw, is_single in documents]
    return [
        answer if isinstance(answer, Refused) else answer | {"plugins": _plugins(answer)}
        for answer in ask(program, "load", questions)
    ]


def _plugins(answer: dict[str, Any]) -> list[tuple[str, frozenset[str], object]]:
    return [
        (
            plugin["type"],
            frozenset(name for name, value in (plugin["capabilities"] or {}).items() if value),
            plugin["config"],
        )
        for plugin in answer["plugins"]
    ]


# --- chosen by hand -----------------------------------------------------------


def _list(*members: str, **known: str | None) -> str:
    """Write a list: known members, of which None is left out, and more of them."""
    texts = {"cniVersion": '"1.0.0"', "name": '"net"', "plugins": '[{"type":"a"}]'} | known
    written = [f'"{key}":{text}' for key, text in texts.items() if text is not None]
    return "{" + ",".join([*written, *members]) + "}"


def _plugin(text: str) -> str:
    return _list(plugins=f"[{text}]")


def _having(member: str) -> str:
    return _plugin(f'{{"type":"a",{member}}}')


def _single(*members: str) -> str:
    return "{" + ",".join(['"cniVersion":"1.0.0"', '"name":"net"', *members]) + "}"


def _cases(
    *documents: str | bytes,
    single: bool = False,
    intended: str | None = None,
    version: str = "1.0.0",
    defect: str | None = None,
) -> Iterator[Case]:
    for document in documents:
        raw = document.encode() if isinstance(document, str) else document
        yield Case(
            document=raw, is_single=single, intended=intended, version=version, defect=defect
        )


FOLDED: Final = "libcni and Go's plugins read the keys of a plugin in any case of their letters"
GOOD: Final = _list()
OPEN: Final = GOOD[:-1]

CASES: Final = list(
    itertools.chain(
        # versions
        *(
            _cases(_list(cniVersion=f'"{version}"'))
            for version in ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
        ),
        _cases(*(_list(cniVersion=version) for version in ("5", "[]", "true", "{}"))),
        _cases(
            _list(cniVersion=None), _list(cniVersion='""'), intended="no version", version="0.1.0"
        ),
        _cases(
            _list('"CNIVersion":"1.0.0"', cniVersion=None), intended="no version", version="0.1.0"
        ),
        _cases(_list(cniVersion="null"), intended="null version", version="0.1.0"),
        _cases(
            *(
                _list(cniVersion=f'"{version}"')
                for version in (
                    *("0.5.0", "1.2.0", "1.0", "v1.0.0", "latest", " 1.0.0", "1.0.0-rc1"),
                    *("1.0.0+b", "01.0.0", "1.0.0\\n", "10.0.0"),
                )
            ),
            intended="other version",
        ),
        _cases(
            *(
                _list(f'"cniVersions":{versions}')
                for versions in ("[]", "null", '["1.0.0"]', '["0.4.0","1.0.0"]', '["2.0.0"]')
            )
        ),
        _cases(_list('"CNIVersions":["1.1.0"]')),
        _cases(_list('"cniVersions":["0.4.0","1.1.0"]'), intended="versions", version="1.1.0"),
        _cases(
            _list('"cniVersions":["0.3.1"]', cniVersion=None), intended="versions", version="0.3.1"
        ),
        _cases(
            *(
                _list(f'"cniVersions":{versions}')
                for versions in ('"1.0.0"', "[5]", '["x"]', "[null]", "{}", '["1.0"]')
            ),
            intended="bad versions",
        ),
        # names
        _cases(*(_list(name=name) for name in (None, "null", "5", "[]"))),
        _cases(*(_list(name=f'"{name}"') for name in ("a.b_c-d", "A", "0", "\\u0061", "a" * 300))),
        _cases(_list('"NAME":"other"'), _list('"name":"other"')),
        _cases(
            *(
                _list(name=f'"{name}"')
                for name in (
                    "",
                    "a/b",
                    "..",
                    "../a",
                    "-a",
                    "_a",
                    "a b",
                    " a",
                    "é",
                    "a\\n",
                    "a\\u0000",
                )
            ),
            intended="name",
        ),
        # plugins
        _cases(
            *(
                _list(plugins=plugins)
                for plugins in (
                    *(None, "[]", "null", "{}", '"x"', "5"),
                    *("[null]", "[5]", '["a"]', "[[]]", "[{}]", '[{"type":"a"},{}]'),
                )
            )
        ),
        _cases(_list(plugins='[{"type":"a"},{"type":"b"},{"type":"a"}]')),
        _cases(_list('"Plugins":[{"type":"b"}]'), _list('"plugins":[{"type":"b"}]')),
        _cases('{"Name":"net","plugins":[{"type":"a"}]}', '{"name":"net","Plugins":[]}'),
        # types
        _cases(*(_plugin(f'{{"type":{kind}}}') for kind in ('""', "null", "5", "[]", "true"))),
        _cases(
            *(_plugin(f'{{"type":"{kind}"}}') for kind in ("a b", "a.b", "é", "\\\\", "a-", "A"))
        ),
        _cases(_plugin('{"type":"a","type":"b"}'), _plugin('{"TYPE":"b","type":"a"}')),
        _cases(
            *(
                _plugin(f'{{"type":"{kind}"}}')
                for kind in ("a/b", "../a", "/a", ".", "..", "-a", "\\u0000", "a" * 256)
            ),
            intended="type",
        ),
        _cases(_plugin('{"Type":"a"}'), _plugin('{"type":"a","tYpe":5}')),
        # flags
        _cases(
            *(
                _list(f'"disableCheck":{flag}')
                for flag in (
                    "true",
                    "false",
                    '"yes"',
                    '""',
                    '" true"',
                    "null",
                    "1",
                    "0",
                    "[]",
                    "{}",
                )
            )
        ),
        _cases(_list('"DisableCheck":true'), _list('"disableCheck":true', '"disableCheck":false')),
        _cases(
            *(_list(f'"disableCheck":"{flag}"') for flag in ("true", "false", "TRUE", "False")),
            intended="flag as text",
        ),
        _cases(_list('"disableGC":true'), _list('"loadOnlyInlinedPlugins":true')),
        _cases(
            *(
                _list(f'"{key}":{flag}')
                for key in ("disableGC", "loadOnlyInlinedPlugins")
                for flag in ('"x"', "null", "1")
            ),
            intended="newer flags",
        ),
        # capabilities
        _cases(
            *(
                _having(f'"capabilities":{declared}')
                for declared in (
                    *("{}", "null", '{"mac":true}', '{"mac":false}', '{"mac":null}'),
                    *('{"mac":true,"mac":false}', '{"MAC":true,"mac":false}', '{"":true}'),
                    *('{"mac":"x"}', '{"mac":1}', '{"mac":{}}', "[]", '"all"', "true"),
                )
            )
        ),
        _cases(_having('"capabilities":{"mac":true},"capabilities":{"ips":true}')),
        _cases(_having('"capabilities":{"mac":"true"}'), intended="flag as text"),
        _cases(_having('"Capabilities":{"mac":true}')),
        # ipam
        _cases(
            *(
                _having(f'"ipam":{ipam}')
                for ipam in (
                    *("{}", "null", '{"type":"host-local"}', '{"type":""}', '{"type":null}'),
                    *('{"type":"x","ranges":[[{"subnet":"10.0.0.0/24"}]]}', '{"x":[null]}'),
                    *("[]", '"x"', "5", '{"type":5}', '{"type":[]}'),
                )
            )
        ),
        _cases(
            *(
                _having(f'"ipam":{{"type":"{kind}"}}')
                for kind in ("a/b", "../../bin/sh", "..", "-a")
            ),
            intended="ipam.type",
        ),
        # what plugins read, and what the runtime makes
        _cases(
            *(
                _having(member)
                for member in (
                    *('"dns":{}', '"dns":null', '"dns":{"nameservers":["192.0.2.53"]}'),
                    *('"args":{"cni":{"labels":[]}}', '"args":5', '"runtimeConfig":5'),
                    *('"name":"other"', '"cniVersion":"9.9.9"', '"cniVersion":null'),
                    *('"prevResult":{"cniVersion":5}', '"prevResult":null', '"cni.dev/x":[]'),
                )
            )
        ),
        _cases(
            *(
                _having(f'"dns":{dns}')
                for dns in ("5", "[]", '{"nameservers":"x"}', '{"domain":5}', '{"search":[5]}')
            ),
            intended="fields of plugins",
        ),
        _cases(
            *(
                _having(member)
                for member in ('"name":5', '"cniVersion":5', '"prevResult":5', '"prevResult":[]')
            ),
            intended="generated",
        ),
        # unknown fields
        _cases(
            *(
                _having(f'"x":{value}')
                for value in (
                    *("1e2", "1.0", "1e23", "-0", "0.1", "1e-400", "9007199254740992", "true"),
                    *("null", '{"y":null}', "[[],{}]", '{"a":1,"a":2}', '""', '"<&>\\u2028\\/"'),
                    *('"\\ud83d\\ude00"', '"é"', '"\\u0000"', "1e999", "-1e999"),
                )
            )
        ),
        _cases(_having('"":1'), _list('"x":{"a":[null]}'), _list('"x":9007199254740993')),
        _cases(
            _having('"x":9007199254740993'),
            _having('"x":[{"y":123456789012345678901234567890}]'),
            _having('"x":-9007199254740993'),
            intended="numbers",
        ),
        _cases(_having(f'"x":{"9" * 400}'), _list(f'"x":{"9" * 400}'), intended="long numbers"),
        _cases(_having('"x":"\\ud800"'), _having('"\\udc00":1'), intended="surrogate"),
        # the text as a whole
        _cases(
            *(
                *("", "null", "[]", '"x"', OPEN, GOOD + " x", GOOD + GOOD, GOOD + "\0", "{}"),
                *("\ufeff" + GOOD, "\x0c" + GOOD, GOOD + "\xa0", "// c\n" + GOOD, "/**/" + GOOD),
                *(f" \t\r\n{GOOD}\n", OPEN + ",}", OPEN + ',"x":NaN}', OPEN + ',"x":-Infinity}'),
                *(OPEN + ",'x':1}", OPEN + ',"x":"a\tb"}', OPEN + ',"x":"\\x"}', OPEN + ',"x":01}'),
                *(OPEN + ',"x":+1}', OPEN + ',"x":.5}', OPEN + ',"x":1.}', OPEN + ',"x":truth}'),
                *(OPEN + ',"x":1 2}', OPEN + ',"x"}', OPEN + ",x:1}", OPEN + ',"x":"\x7f"}'),
            )
        ),
        _cases(GOOD.encode("utf-16"), GOOD.encode("utf-32")),
        _cases(
            OPEN.encode() + b',"x":"\xff"}',
            _plugin('{"type":"aé"}').encode("latin-1"),
            OPEN.encode() + b',"x":"\xed\xa0\x80"}',
            OPEN.encode() + b',"x":"\xc0\xaf"}',
            intended="not UTF-8",
        ),
        _cases(OPEN + f',"x":{"[" * 90}{"]" * 90}}}', OPEN + f',"x":{"[" * 10_001}'),
        _cases(
            OPEN + f',"x":{"[" * 101}{"]" * 101}}}',
            OPEN + f',"x":[{",".join("1" * 70_000)}]}}',
            OPEN + f',"x":"{"x" * (1 << 20)}"}}',
            intended="bounds",
        ),
        # the file of one plugin
        _cases(
            *(
                *(_single('"type":"a"'), _single('"type":"a"', '"x":1e2'), _single(), "{}", "null"),
                *(_single('"type":""'), _single('"type":null'), _single('"type":5')),
                *(_single('"type":"a"', '"plugins":[{"type":"b"}]'), _single('"plugins":[]')),
                *(_single('"type":"a"', '"disableCheck":true'), _single('"type":"a"', '"ipam":5')),
                *(_single('"type":"a"', '"disableCheck":"x"'), _single('"type":"a"', '"name":"n"')),
                *(_single('"type":"a"', '"cniVersion":5'), _single('"type":"a"', '"name":5')),
                _single('"type":"a"', '"capabilities":{"a":true}', '"capabilities":{"b":true}'),
                "\ufeff" + _single('"type":"a"'),
            ),
            single=True,
        ),
        _cases(
            *(
                f'{{{version}"name":"net","type":"a"}}'
                for version in ("", '"cniVersion":"",', '"cniVersion":null,')
            ),
            single=True,
            intended="no version",
            version="0.1.0",
        ),
        _cases(
            *(
                f'{{"cniVersion":"1.0.0",{name}"type":"a"}}'
                for name in ("", '"name":"",', '"name":null,', '"name":"a/b",')
            ),
            single=True,
            intended="name",
        ),
        _cases(_single('"type":"a/b"'), single=True, intended="type"),
        _cases(_single('"type":"a"', '"ipam":{"type":"../b"}'), single=True, intended="ipam.type"),
        _cases(
            _single('"type":"a"', '"cniVersion":"9.0.0"'), single=True, intended="other version"
        ),
        _cases(_single('"type":"a"', '"dns":5'), single=True, intended="fields of plugins"),
        _cases(_single('"type":"a"', '"x":9007199254740993'), single=True, intended="numbers"),
        _cases(
            _single('"type":"a"', '"cniVersions":["1.1.0"]'),
            single=True,
            intended="versions",
            version="1.1.0",
        ),
        _cases(
            _single('"Type":"a"'),
            _single('"type":"a"', '"Capabilities":{"mac":true}'),
            '{"Name":"net","cniVersion":"1.0.0","type":"a"}',
            '{"CNIVersion":"1.0.0","name":"net","type":"a"}',
            single=True,
        ),
    )
)
AGREED: Final = [case for case in CASES if case.intended is None]
DIFFERENT: Final = [case for case in CASES if case.intended is not None]


@pytest.fixture(scope="module")
def libcni(judge_program: Path) -> dict[Case, Any]:
    """What libcni makes of each case, asked in one process."""
    answers = theirs(judge_program, ((case.document, case.is_single) for case in CASES))
    return dict(zip(CASES, answers, strict=True))


def test_there_are_enough_cases_and_none_twice() -> None:
    assert len(set(CASES)) == len(CASES) > 200
    assert {case.intended for case in DIFFERENT} == CONFIGURATIONS.keys()


@pytest.mark.rule("R6", "R9")
@pytest.mark.parametrize("case", parameters(AGREED))
def test_both_make_the_same_of_a_configuration(case: Case, libcni: dict[Case, Any]) -> None:
    assert kind_of(libcni[case], ours(case)) is None, (libcni[case], ours(case))


@pytest.mark.rule("R1", "R3", "R4", "R6", "R7", "R9", "R37", "R39", "R50", "R55")
@pytest.mark.parametrize("case", parameters(DIFFERENT))
def test_each_difference_of_configurations_is_intended(case: Case, libcni: dict[Case, Any]) -> None:
    """R1, R3, R4, R6, R7, R9, R37, R39, R50, R55: as its row says."""
    assert case.intended is not None
    acni, kind = ours(case), CONFIGURATIONS[case.intended].kind
    assert kind_of(libcni[case], acni) is kind, (libcni[case], acni)
    if kind is not Kind.ACNI_REFUSES:
        expected = json.loads(case.document)
        plugins = [expected] if case.is_single else expected["plugins"]
        assert acni["cniVersion"] == case.version
        assert [plugin for _, _, plugin in acni["plugins"]] == plugins


@pytest.mark.rule("R6", "R29")
def test_libcni_reads_the_configuration_of_a_record_as_acni_does(
    judge_program: Path,
) -> None:
    """R6, R29: both runtimes check and delete with it; it is a list in every case."""
    agreed = [case for case in AGREED if not isinstance(ours(case), Refused) and not case.defect]
    networks = [
        (parse_single if case.is_single else parse_network)(case.document) for case in agreed
    ]
    answers = theirs(judge_program, ((each.effective().encode(), False) for each in networks))
    expected = [
        ours(case) | {"cniVersion": network.versions[0]}
        for case, network in zip(agreed, networks, strict=True)
    ]
    assert len(answers) > 50
    assert answers == expected
