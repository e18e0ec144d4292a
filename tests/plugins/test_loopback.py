"""The built-in ``loopback``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from acni import netns, spec
from acni.host.netns import is_interface_up, switch_interface
from acni.plugins import loopback
from acni.skel.delegation import Delegates
from acni.skel.respond import respond
from acni.spec.plugin import Response
from acni.spec.versions import is_at_least
from tests.plugins.answering import Ask, ask_ours, ask_reference
from tests.plugins.hosts import host_of
from tests.skel.asking import bounds, request, said

pytestmark = pytest.mark.netns


@pytest.fixture
def box() -> Iterator[netns.Namespace]:
    with netns.anonymous() as box:
        yield box


def answer(command: str, netns_path: str, **config: object) -> Response:
    asked = request(command, config, NETNS=netns_path, IFNAME="lo")
    return respond(loopback.VERBS, asked, bounds=bounds(), delegates=Delegates())


def is_up(box: netns.Namespace) -> bool:
    return box.call(lambda: is_interface_up("lo"))


def test_add_sets_the_interface_up_and_says_what_is_there(box: netns.Namespace) -> None:
    response = answer("ADD", box.path, cniVersion="1.0.0")
    assert response.status == 0
    assert is_up(box)
    assert said(response) == {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": box.path}],
        "ips": [
            {"interface": 0, "address": "127.0.0.1/8"},
            {"interface": 0, "address": "::1/128"},
        ],
    }


def test_without_ipv6_it_says_none(box: netns.Namespace) -> None:
    def disable() -> None:
        Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6").write_text("1")

    box.call(disable)
    response = answer("ADD", box.path)
    assert [ip["address"] for ip in said(response)["ips"]] == ["127.0.0.1/8"]


@pytest.mark.rule("P2")
def test_in_a_chain_the_previous_result_passes_through(box: netns.Namespace) -> None:
    previous = {"cniVersion": "1.1.0", "ips": [{"address": "10.88.0.2/16"}], "unknown": 1}
    response = answer("ADD", box.path, prevResult=previous)
    assert said(response) == previous
    assert is_up(box)


def test_add_again_succeeds(box: netns.Namespace) -> None:
    assert answer("ADD", box.path).stdout == answer("ADD", box.path).stdout


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", "0.3.1", "0.4.0", "1.1.0"])
def test_every_version_is_spoken(version: str, box: netns.Namespace) -> None:
    response = answer("ADD", box.path, cniVersion=version)
    assert (response.status, said(response)["cniVersion"]) == (0, version)


@pytest.mark.rule("P3")
def test_del_sets_it_down_and_succeeds_again_without_it(box: netns.Namespace) -> None:
    answer("ADD", box.path)
    assert answer("DEL", box.path).status == 0
    assert not is_up(box)
    assert answer("DEL", box.path).status == 0
    assert answer("DEL", "").status == 0
    assert answer("DEL", "/run/netns/gone").status == 0


@pytest.mark.rule("P4")
def test_check_finds_it_down(box: netns.Namespace) -> None:
    answer("ADD", box.path)
    assert answer("CHECK", box.path).status == 0
    box.call(lambda: switch_interface("lo", is_up=False))
    found = json.loads(answer("CHECK", box.path).stdout)
    assert (found["code"], found["reason"]) == (100, "interface-down")


VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"]
# What stands in a configuration besides, and what came before it in a chain, by the version.
BESIDES: dict[str, Callable[[str], dict[str, Any]]] = {
    "alone": lambda _: {},
    "with members that it does not know": lambda _: {"mtu": 1400, "args": {"x": 1}},
    "behind a plugin": lambda version: {"prevResult": {"cniVersion": version, **before(version)}},
}


def before(version: str) -> dict[str, Any]:
    if not is_at_least(version, "0.3.0"):
        return {"ip4": {"ip": "10.9.0.2/24", "gateway": "10.9.0.1"}}
    of_old = {} if is_at_least(version, "1.0.0") else {"version": "4"}
    interfaces = [{"name": "eth0", "sandbox": "/x"}]
    return {"interfaces": interfaces, "ips": [{"address": "10.9.0.2/24", "interface": 0, **of_old}]}


@pytest.mark.deep
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", BESIDES)
@pytest.mark.parametrize("ifname", ["lo", "eth0"])
def test_it_does_what_the_reference_does(
    version: str, kind: str, ifname: str, tmp_path: Path
) -> None:
    besides = BESIDES[kind](version)
    config = {"cniVersion": version, "name": "net", "type": "loopback", **besides}
    theirs, ours = (seen_of(ask, config, ifname, tmp_path) for ask in (ask_reference, ask_ours))
    if not besides.get("prevResult"):
        # The reference prints the newest result's shape whatever the version (1.1.1 and HEAD).
        text = json.dumps({**theirs["printed"], "cniVersion": "1.0.0"})
        theirs["printed"] = json.loads(spec.parse_result(text, version).raw)
    assert ours == theirs


def seen_of(ask: Ask, config: dict[str, Any], ifname: str, directory: Path) -> dict[str, Any]:
    with host_of(ask, directory) as host:
        container = host.container("c1")
        added = host.run("ADD", config, ifname=ifname)
        printed = json.loads(json.dumps(added.printed).replace(container.path, "/sandbox"))
        return {
            # The reference says that it knows of no DNS.
            "printed": {key: value for key, value in printed.items() if value != {}},
            "status": added.status,
            "is up": is_up(container),
            "again": host.run("ADD", config, ifname=ifname).status,
            "deleted": host.run("DEL", config, ifname=ifname).status,
            "is up then": is_up(container),
            "deleted again": host.run("DEL", config, ifname=ifname, is_gone=True).status,
        }
