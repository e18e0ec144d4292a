"""What libcni and acni make of the same result for the same version.

The same is: both refuse it, or both have the same JSON values after this much is set aside:

- addresses are compared as addresses, and to Go IPv4 in IPv6 is IPv4;
- absent, null, empty texts, lists and objects are one: Go leaves them out, but for its ``dns``;
- keys count in any case of their letters, as Go reads them;
- fields that the version does not specify are dropped by libcni at each hop, and kept by acni.

Whatever else differs is intended and has a row in ``intended.py``, or is a defect and says so.
"""

from __future__ import annotations

import ipaddress
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, Final, TypeAlias

import pytest
from attrs import field, frozen

from acni.spec import ResultError, parse_result
from tests.libcni.answers import Refused, ask, encoded, kind_of, parameters, shown
from tests.libcni.intended import RESULTS, Kind
from tests.spec.models import (
    MIDDLE,
    OLDEST,
    VERSIONS,
    can_say_nothing_of,
    random_model,
    sayable,
    written,
)

KNOWN: Final = VERSIONS[:-1]
"""The versions that Debian's libcni 1.1.2 knows."""

EACH: Final = ("0.2.0", "0.4.0", "1.0.0")
LISTS: Final = ("0.4.0", "1.0.0")


@frozen(kw_only=True)
class Case:
    """A result, and a version that is wanted.

    Attributes:
        printed: What a plugin printed.
        wanted: The version.
        intended: The row of ``RESULTS`` by which the sides differ, or None.
        ours: Where both take it: acni's value, normal.
        defect: What is wrong with acni here, or None.
    """

    printed: bytes
    wanted: str
    intended: str | None = field(default=None, eq=False)
    ours: object = field(default=None, eq=False)
    defect: str | None = field(default=None, eq=False)

    def __str__(self) -> str:
        return f"{shown(self.printed)} as {self.wanted}"


# --- normal values ------------------------------------------------------------

Shape: TypeAlias = "dict[str, Shape] | list[Shape] | Callable[[Any], object]"


def _address(text: Any) -> object:
    """Read an address, with or without a prefix length; what is none stays as it is."""
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        return text
    mapped = getattr(interface.ip, "ipv4_mapped", None)
    length = interface.network.prefixlen - 96
    if mapped is not None and length >= 0:
        return ipaddress.ip_interface(f"{mapped}/{length}")
    return interface


def _same(value: Any) -> object:
    return value


_DNS: Final[Shape] = dict.fromkeys(("nameservers", "domain", "search", "options"), _same)
_ROUTES: Final[Shape] = [{"dst": _address, "gw": _address}]
_FAMILY: Final[Shape] = {"ip": _address, "gateway": _address, "routes": _ROUTES}
_IP: Final[dict[str, Shape]] = {"address": _address, "gateway": _address, "interface": _same}
_INTERFACES: Final[Shape] = [dict.fromkeys(("name", "mac", "sandbox"), _same)]


def _shape(version: str) -> Shape:
    head: dict[str, Shape] = {"cniVersion": _same, "dns": _DNS}
    if version in OLDEST:
        return head | {"ip4": _FAMILY, "ip6": _FAMILY}
    ip = _IP | ({"version": _same} if version in MIDDLE else {})
    return head | {"interfaces": _INTERFACES, "ips": [ip], "routes": _ROUTES}


def normal(value: Any, shape: Shape) -> Any:
    """Leave only what a shape specifies, and nothing that is empty."""
    match shape:
        case dict():
            if not isinstance(value, dict):
                return value
            folded = {key.lower(): member for key, member in value.items()}
            members = ((key, normal(folded.get(key.lower()), part)) for key, part in shape.items())
            return {key: member for key, member in members if member not in (None, "", [], {})}
        case list():
            return [normal(each, shape[0]) for each in value] if isinstance(value, list) else value
        case _:
            return shape(value)


def ours(case: Case) -> Any:
    try:
        raw = parse_result(case.printed, case.wanted).raw
    except ResultError as error:
        return Refused(str(error))
    return normal(json.loads(raw), _shape(case.wanted))


def theirs(program: Path, cases: list[Case]) -> dict[Case, Any]:
    questions = [{"printed": encoded(case.printed), "version": case.wanted} for case in cases]
    answers = ask(program, "convert", questions)
    return {
        case: answer if isinstance(answer, Refused) else normal(answer, _shape(case.wanted))
        for case, answer in zip(cases, answers, strict=True)
    }


# --- chosen by hand -----------------------------------------------------------


def _same_for(
    printed: str | bytes,
    *wanted: str,
    intended: str | None = None,
    ours: object = None,
    defect: str | None = None,
) -> Iterator[Case]:
    raw = printed.encode() if isinstance(printed, str) else printed
    for version in wanted:
        yield Case(printed=raw, wanted=version, intended=intended, ours=ours, defect=defect)


def _ip(more: str = "", address: str = "10.0.0.2/24", version: str = "1.0.0") -> str:
    return f'{{"cniVersion":"{version}","ips":[{{"address":"{address}"{more}}}]}}'


def _with(more: str, version: str = "1.0.0") -> str:
    return f'{{"cniVersion":"{version}","ips":[{{"version":"4","address":"10.0.0.2/24"}}],{more}}}'


def _ip4(more: str, version: str = "0.2.0") -> str:
    return f'{{"cniVersion":"{version}","ip4":{{{more}}}}}'


ROUTES: Final = '[{"dst":"0.0.0.0/0","gw":"192.0.2.1"},{"dst":"::/0"},{"dst":"10.1.2.3/16"}]'
DNS: Final = '{"nameservers":["192.0.2.53"],"domain":"d","search":["s"],"options":["o"]}'
FULL: Final = {
    **dict.fromkeys(
        OLDEST,
        '{"cniVersion":"%s","ip4":{"ip":"192.0.2.7/24","gateway":"192.0.2.1","routes":'
        '[{"dst":"0.0.0.0/0","gw":"192.0.2.1"}]},"ip6":{"ip":"2001:db8::7/64","routes":'
        '[{"dst":"::/0","gw":"2001:db8::1"},{"dst":"fd00::/8"}]},"dns":' + DNS + "}",
    ),
    **dict.fromkeys(
        MIDDLE,
        '{"cniVersion":"%s","interfaces":[{"name":"a","mac":"02:00:00:00:00:01"},{"name":"b",'
        '"sandbox":"/n"}],"ips":[{"version":"6","address":"2001:db8::7/64","interface":1},'
        '{"version":"4","address":"192.0.2.7/24","gateway":"192.0.2.1","interface":0},'
        '{"version":"4","address":"192.0.2.8/24"},{"version":"6","address":"fd00::8/64",'
        '"gateway":"fd00::1"}],"routes":' + ROUTES + ',"dns":' + DNS + "}",
    ),
    "1.0.0": '{"cniVersion":"%s","interfaces":[{"name":"a","mac":"02:00:00:00:00:01","mtu":1500},'
    '{"name":"b","sandbox":"/n"}],"ips":[{"address":"2001:db8::7/64","interface":1},'
    '{"address":"192.0.2.7/24","gateway":"192.0.2.1","interface":0},{"address":"192.0.2.8/24"},'
    '{"address":"fd00::8/64"}],"routes":' + ROUTES + ',"dns":' + DNS + "}",
}
SHORT: Final = "::ffff:10.0.0.2/64"

CASES: Final = list(
    itertools.chain(
        # every version as every version
        *(_same_for(text % printed, *KNOWN) for printed, text in FULL.items()),
        # no address
        *(_same_for(f'{{"cniVersion":"{version}"}}', *EACH) for version in KNOWN),
        _same_for('{"cniVersion":"0.2.0","ip4":null,"ip6":null,"dns":null}', *EACH),
        _same_for("{}", *KNOWN),
        _same_for(
            '{"cniVersion":"1.0.0","ips":null,"routes":null,"interfaces":null,"dns":null}', *EACH
        ),
        _same_for('{"cniVersion":"1.0.0","ips":[],"routes":[],"interfaces":[],"dns":{}}', *EACH),
        _same_for('{"cniVersion":"0.4.0","routes":[{"dst":"0.0.0.0/0"}]}', *EACH),
        # one family, several addresses of it
        _same_for(_ip4('"ip":"10.0.0.2/24"'), *EACH),
        _same_for('{"cniVersion":"0.1.0","ip6":{"ip":"2001:db8::7/64"}}', *EACH),
        _same_for(
            '{"cniVersion":"0.3.0","ips":[{"version":"4","address":"10.0.0.2/24"},'
            '{"version":"4","address":"10.0.0.3/24","gateway":"10.0.0.1"}]}',
            *EACH,
        ),
        _same_for(_ip(address="2001:db8::7/64"), *EACH),
        # routes
        _same_for(_with(f'"routes":{ROUTES}'), *EACH),
        _same_for(_with(f'"routes":{ROUTES}', "0.3.1"), *EACH),
        _same_for(_with('"routes":[{"dst":"10.1.2.3/16"}]'), *EACH),
        _same_for(_with('"routes":[{"dst":"::ffff:10.0.0.0/104","gw":"::ffff:10.0.0.1"}]'), *EACH),
        _same_for(_with('"routes":[{"dst":"0.0.0.0/0","gw":null},{"dst":"::/0","gw":""}]'), *EACH),
        _same_for(_with('"routes":[{"dst":"0.0.0.0/0","mtu":1400,"table":7}]'), *EACH),
        _same_for(_with('"routes":[{"dst":"0.0.0.0/0","gw":"2001:db8::1"}]'), *EACH),
        _same_for(_ip4('"ip":"10.0.0.2/24","routes":[{"dst":"::/0"}]'), *EACH),
        # interface indices
        *(_same_for(_ip(f',"interface":{index}'), *EACH) for index in ("0", "-1", "7", "null")),
        *(
            _same_for(_ip(f',"interface":{index}'), *LISTS, intended="read loosely")
            for index in ("1.0", '"0"', "true", "9223372036854775808")
        ),
        # gateways
        *(
            _same_for(_ip(f',"gateway":{gateway}'), *EACH)
            for gateway in (
                *("null", '""', '"10.0.0.1"', '"::ffff:10.0.0.1"', '"2001:db8::1"', '"0.0.0.0"'),
                *('"10.0.0.1/24"', "5", '"10.0.0.01"', '"x"', "[]", '"fe80::1%eth0"'),
            )
        ),
        # dns
        _same_for(_with(f'"dns":{DNS}'), *EACH),
        _same_for(_with('"dns":{}'), *EACH),
        _same_for(_with('"dns":{"nameservers":[""],"search":null}'), *EACH),
        *(
            _same_for(_with(f'"dns":{dns}'), *EACH, intended="read loosely")
            for dns in ("5", "[]", '{"nameservers":5}', '{"nameservers":[5]}', '{"domain":5}')
        ),
        _same_for(
            _with('"dns":{"search":[null]}'),
            "1.0.0",
            intended="nulls",
            ours={
                "cniVersion": "1.0.0",
                "ips": [{"address": _address("10.0.0.2/24")}],
                "dns": {"search": [None]},
            },
        ),
        # addresses
        *(
            _same_for(_ip(address=address), *EACH)
            for address in (
                *("::ffff:10.0.0.2/120", "::ffff:0:0/96", "::1.2.3.4/64", "64:ff9b::10.0.0.1/96"),
                *("2001:DB8::1/64", "1:2:3:4:5:6:7::/64", "10.0.0.2/0", "10.0.0.2/024"),
                *("10.0.0.2", "10.0.0.2/255.255.255.0", "fe80::1%eth0/64", "10.0.0.02/24"),
                *("10.0.0.2/33", "::1/129", "", "x", "/24", " 10.0.0.2/24", "10.0.0.2/24 "),
            )
        ),
        _same_for('{"cniVersion":"1.0.0","ips":[{"address":null}]}', *EACH),
        _same_for('{"cniVersion":"1.0.0","ips":[{"address":["10.0.0.2/24"]}]}', *EACH),
        _same_for(
            _ip(address=SHORT),
            "1.0.0",
            intended="short prefix",
            ours={"cniVersion": "1.0.0", "ips": [{"address": _address(SHORT)}]},
        ),
        *(
            _same_for(f'{{"cniVersion":"1.0.0",{entry}}}', *EACH, intended="no address")
            for entry in ('"ips":[{}]', '"ips":[{"gateway":"10.0.0.1"}]')
        ),
        _same_for(_ip4(""), *EACH, intended="no address"),
        _same_for(_ip4('"ip":"2001:db8::7/64"'), *EACH),
        # the family
        _same_for(_ip(version="0.4.0"), *LISTS),
        _same_for(_ip(version="0.4.0"), "0.1.0", "0.2.0", intended="no family"),
        *(
            _same_for(_ip(f',"version":{text}', version="0.3.1"), "0.2.0", intended="no family")
            for text in ("null", '""', '"5"', '"IPv4"')
        ),
        _same_for(_ip(',"version":"6"', version="0.4.0"), *LISTS),
        _same_for(
            _ip(',"version":"6"', version="0.4.0"),
            "0.2.0",
            intended="other family",
            ours={"cniVersion": "0.2.0", "ip4": {"ip": _address("10.0.0.2/24")}},
        ),
        _same_for(_ip(',"version":4', version="0.4.0"), *EACH, intended="read loosely"),
        _same_for(_ip(',"version":"6"'), "0.2.0", "1.0.0"),
        _same_for(_ip(',"version":"6"'), "0.4.0"),
        # fields that the printed version does not have
        _same_for(_ip4('"ip":"10.0.0.2/24","x":1},"y":{"z":null'), *EACH),
        _same_for(
            '{"cniVersion":"1.0.0","ip4":{"ip":"x"},"ips":[{"address":"10.0.0.3/24"}]}', *EACH
        ),
        *(
            _same_for(text, wanted)
            for text, wanted in (
                (_ip4('"ip":"10.0.0.2/24","version":"6"'), "0.4.0"),
                (_ip4('"ip":"10.0.0.2/24","interface":3'), "1.0.0"),
                (_ip4('"ip":"10.0.0.2/24","address":"10.9.9.9/8"'), "1.0.0"),
                (_ip(',"ip":"10.9.9.9/8"'), "0.2.0"),
                (_ip(',"routes":[{"dst":"0.0.0.0/0"}]'), "0.2.0"),
                ('{"cniVersion":"0.2.0","ips":[{"address":"10.0.0.2/24"}]}', "1.0.0"),
                ('{"cniVersion":"0.2.0","routes":[{"dst":"::/0"}]}', "0.4.0"),
                (_with('"ip6":{"ip":"2001:db8::7/64"}'), "0.2.0"),
            )
        ),
        # lists and objects of the wrong type, entries that are none
        *(
            _same_for(f'{{"cniVersion":"1.0.0","{key}":{value}}}', *EACH)
            for key in ("ips", "interfaces")
            for value in ("{}", '"x"', "false", "[5]")
        ),
        *(
            _same_for(_with(f'"routes":{value}'), *LISTS, intended="read loosely")
            for value in ("{}", "[7]", '[{"dst":"default"}]', '[{"dst":null}]', '[{"dst":5}]')
        ),
        _same_for(_with('"routes":[7]'), "0.2.0"),
        _same_for(
            _with('"routes":[{"dst":"0.0.0.0/0","gw":"10.0.0.1/24"}]'),
            *EACH,
            intended="read loosely",
        ),
        _same_for(_with('"routes":[null]'), *EACH),
        _same_for(
            _with('"routes":[{}]'),
            "1.0.0",
            intended="empty route",
            ours={
                "cniVersion": "1.0.0",
                "ips": [{"address": _address("10.0.0.2/24")}],
                "routes": [{}],
            },
        ),
        _same_for('{"cniVersion":"1.0.0","ips":[null]}', "0.2.0", "0.4.0"),
        _same_for('{"cniVersion":"1.0.0","ips":[null]}', "1.0.0", intended="null entry"),
        _same_for('{"cniVersion":"1.0.0","interfaces":[null]}', "0.2.0", "0.4.0"),
        _same_for('{"cniVersion":"1.0.0","interfaces":[null]}', "1.0.0", intended="null entry"),
        _same_for(_ip4('"ip":"10.0.0.2/24","routes":[null]'), *LISTS, intended="null entry"),
        # interfaces
        *(
            _same_for(f'{{"cniVersion":"1.0.0","interfaces":[{{"name":"a",{more}}}]}}', *LISTS)
            for more in ('"mac":"odd"', '"sandbox":""', '"mtu":1500', '"mtu":"x"', '"x":{}')
        ),
        _same_for('{"cniVersion":"0.3.0","interfaces":[{"name":""}]}', *LISTS),
        _same_for('{"cniVersion":"0.3.0","interfaces":[{"name":5}]}', *LISTS),
        *(
            _same_for(
                f'{{"cniVersion":"1.0.0","interfaces":[{{"name":"a",{more}}}]}}',
                *LISTS,
                intended="read loosely",
            )
            for more in ('"mac":5', '"sandbox":[]')
        ),
        *(
            _same_for(f'{{"cniVersion":"1.0.0","interfaces":[{each}]}}', *LISTS, intended="no name")
            for each in ("{}", '{"mac":"m"}', '{"name":null}')
        ),
        # keys in any case of their letters, and twice
        _same_for(
            '{"cniVersion":"0.4.0","IPS":[{"Version":"4","Address":"10.0.0.2/24","GATEWAY":'
            '"10.0.0.1"}],"Routes":[{"DST":"0.0.0.0/0","Gw":"10.0.0.1"}],"Dns":{"Domain":"d"}}',
            *EACH,
        ),
        _same_for(
            '{"cniVersion":"0.2.0","IP4":{"IP":"10.0.0.2/24","Routes":[{"Dst":"::/0"}]}}', *EACH
        ),
        _same_for('{"cniVersion":"1.0.0","interfaces":[{"Name":"a","MAC":"m"}]}', *LISTS),
        _same_for('{"CNIVersion":"0.4.0","ips":[]}', "0.4.0"),
        _same_for('{"CNIVERSION":"0.4.0","cniVersion":"1.0.0","ips":[]}', *LISTS),
        _same_for(
            '{"CNIVersion":"0.4.0","ips":[{"version":"4","address":"10.0.0.2/24"}]}',
            "0.2.0",
            intended="version in capitals",
            ours={"cniVersion": "0.2.0", "ip4": {"ip": _address("10.0.0.2/24")}},
        ),
        *(
            _same_for(
                f'{{"cniVersion":"1.0.0","{key}":"0.4.0"}}',
                *LISTS,
                intended="version in two spellings",
            )
            for key in ("CNIVERSION", "cniver\N{LATIN SMALL LETTER LONG S}ion")
        ),
        _same_for(_with('"ips":[{"version":"4","address":"10.0.0.3/24"}]', "0.4.0"), *EACH),
        _same_for(_with('"IPS":[{"address":"10.0.0.3/24","gateway":"10.0.0.1"}]'), *EACH),
        _same_for(_ip(',"address":"10.0.0.3/24"'), *EACH),
        _same_for(_with('"cniVersion":"0.4.0"'), *EACH),
        _same_for(
            _with('"dns":{"domain":"d"},"dns":{"search":["s"]}'),
            "1.0.0",
            intended="merged",
            ours={
                "cniVersion": "1.0.0",
                "ips": [{"address": _address("10.0.0.2/24")}],
                "dns": {"search": ["s"]},
            },
        ),
        _same_for(
            '{"cniVersion":"1.0.0","interfaces":[{"name":"a","mac":"m"}],"interfaces":[{"name":"b"}]}',
            "0.4.0",
            intended="merged",
            ours={"cniVersion": "0.4.0", "interfaces": [{"name": "b"}]},
        ),
        # versions
        *(
            _same_for(f'{{"cniVersion":{version},"ips":[]}}', *EACH)
            for version in ('""', "null", '"0.5.0"', '"1.2.0"', '"1.0"', '"latest"', '" 1.0.0"')
        ),
        _same_for('{"ips":[{"version":"4","address":"10.0.0.2/24"}]}', *EACH),
        _same_for('{"ip4":{"ip":"10.0.0.2/24"}}', *EACH),
        _same_for(_ip(version="1.1.0"), *EACH, intended="1.1.0"),
        _same_for(_ip(), "0.5.0"),
        *(
            _same_for(f'{{"cniVersion":{version}}}', *EACH, intended="version no text")
            for version in ("5", "[]", "true")
        ),
        # no results
        *(
            _same_for(text, *EACH)
            for text in (
                *("", "[]", "5", "x", '{"ips":[', '{"cniVersion":"1.0.0"} x', '{"a":1}{"b":2}'),
                *('\ufeff{"cniVersion":"1.0.0"}', '{"x":NaN}', '{"x":1e999}', "{'ips':[]}"),
                *('{"ips":[],}', '{"x":"a\tb"}', '{"x":01}', "// c\n{}", "\x0c{}"),
            )
        ),
        _same_for(' \t\r\n{"cniVersion":"1.0.0"}\n', *LISTS),
        _same_for("null", *EACH, intended="null"),
        _same_for('{"code":7,"msg":"no"}', *EACH, intended="error object"),
        _same_for('{"cniVersion":"1.0.0","code":7}', *LISTS, intended="error object"),
        _same_for(_with('"code":7'), *EACH),
        _same_for(
            b'{"cniVersion":"1.0.0","interfaces":[{"name":"\xff"}]}', *LISTS, intended="not UTF-8"
        ),
        _same_for(
            '{"cniVersion":"1.0.0","interfaces":[{"name":"\\ud800"}]}',
            "1.0.0",
            intended="surrogate",
            ours={"cniVersion": "1.0.0", "interfaces": [{"name": "\ud800"}]},
        ),
        _same_for(_with(f'"x":{"[" * 90}{"]" * 90}'), *EACH),
        _same_for(_with(f'"x":{"[" * 101}{"]" * 101}'), *EACH, intended="bounds"),
        _same_for(_with(f'"x":[{",".join("1" * 70_000)}]'), "1.0.0", intended="bounds"),
        _same_for(_with(f'"x":"{"x" * (1 << 20)}"'), "1.0.0", intended="bounds"),
        _same_for(_with(f'"x":{"9" * 400}'), *EACH, intended="long numbers"),
    )
)
AGREED: Final = [case for case in CASES if case.intended is None]
DIFFERENT: Final = [case for case in CASES if case.intended is not None]


@pytest.fixture(scope="module")
def libcni(judge_program: Path) -> dict[Case, Any]:
    """What libcni makes of each case, asked in one process."""
    return theirs(judge_program, CASES)


def test_there_are_enough_cases_and_none_twice() -> None:
    assert len(set(CASES)) == len(CASES) > 400
    assert {case.intended for case in DIFFERENT} == RESULTS.keys()


@pytest.mark.rule("R42", "R61")
@pytest.mark.parametrize("case", parameters(AGREED))
def test_both_make_the_same_of_a_result(case: Case, libcni: dict[Case, Any]) -> None:
    assert kind_of(libcni[case], ours(case)) is None, (libcni[case], ours(case))


@pytest.mark.rule("R6", "R9", "R42", "R61")
@pytest.mark.parametrize("case", parameters(DIFFERENT))
def test_each_difference_of_results_is_intended(case: Case, libcni: dict[Case, Any]) -> None:
    assert case.intended is not None
    acni, kind = ours(case), RESULTS[case.intended].kind
    assert kind_of(libcni[case], acni) is kind, (libcni[case], acni)
    if kind is Kind.OTHER_VALUE:
        assert acni == case.ours


@pytest.mark.rule("R42")
def test_both_make_the_same_of_results_of_every_shape(judge_program: Path) -> None:
    """R42: 504 results, 14 from each version for each."""
    random = Random(20)  # noqa: S311 - the same results in every run
    cases = []
    for printed, wanted, _ in itertools.product(KNOWN, KNOWN, range(14)):
        model = sayable(random_model(random), printed)
        text = json.dumps(written(model, printed), ensure_ascii=random.random() < 0.5)
        cases.append(Case(printed=text.encode(), wanted=wanted))
        if can_say_nothing_of(model, wanted) and printed not in OLDEST:
            assert isinstance(ours(cases[-1]), Refused)
    libcni = theirs(judge_program, cases)
    assert len(cases) == 504
    differing = [case for case in cases if kind_of(libcni[case], ours(case))]
    assert [(str(case), libcni[case], ours(case)) for case in differing] == []
