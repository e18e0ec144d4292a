"""For each rule a plugin that breaks it and is caught; the same without the flaw is not."""

from __future__ import annotations

import pickle
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen

from acni.netlink import links
from acni.netlink.sockets import open_here
from acni.plugins.catalog import BUILT_IN
from acni.skel import Call, Code, PluginError, Verbs, make_result
from acni.spec import Interface, IpConfig, Result
from acni.testing import PLUGIN_RULES, PluginBench, RuleBroken, check_kills
from tests.mutation import read_rules
from tests.testing.test_plugin_contract import SETTLE_SECONDS, bridge_bench

pytestmark = pytest.mark.netns

SETTING = "ipv4/ip_unprivileged_port_start"


@frozen
class Notes:
    """A plugin that keeps a file for each attachment and sets a port in its container."""

    home: Path

    def verbs(self, **others: Any) -> Verbs:
        verbs = {"add": self.add, "delete": self.delete, "check": self.check}
        return Verbs(**{**verbs, "gc": self.gc, "status": self.status, **others})

    def note(self, call: Call) -> Path:
        return self.home / f"{call.container_id}+{call.ifname}"

    def add(self, call: Call) -> Result:
        port = str(call.fields.number("port", 0, least=0, most=65535))
        self.note(call).touch()
        in_container(call, lambda: Path("/proc/sys/net", SETTING).write_text(port))
        return call.previous or make_result()

    def delete(self, call: Call) -> None:
        self.note(call).unlink(missing_ok=True)

    def check(self, call: Call) -> None:
        found: list[str] = []
        in_container(call, lambda: found.append(Path("/proc/sys/net", SETTING).read_text()))
        if int(found[0]) != call.fields.number("port", 0, least=0, most=65535):
            raise PluginError(100, "another port")
        if not self.note(call).exists():
            raise PluginError(100, "no note")

    def gc(self, call: Call) -> None:
        valid = {f"{one.container_id}+{one.ifname}" for one in call.valid or ()}
        for path in self.home.iterdir():
            if path.name not in valid:
                path.unlink()

    def status(self, call: Call) -> None:
        if call.fields.flag("isFull"):
            raise PluginError(Code.NOT_AVAILABLE, "full")


def in_container(call: Call, function: Callable[[], object]) -> None:
    assert call.netns
    with call.netns.entered():
        function()


@contextmanager
def notes_bench(home: Path, **others: Any) -> Iterator[PluginBench]:
    with PluginBench(
        Notes(home).verbs(**others),
        {"port": 80},
        follows=True,
        directories=[home],
        settings=[SETTING],
        unacceptable={"port": "eighty"},
        not_ready={"isFull": True},
        settle_seconds=0.3 if others else 5.0,
    ) as bench:
        yield bench


@contextmanager
def leases_bench(home: Path, **others: Any) -> Iterator[PluginBench]:
    ipam = {"type": "host-local", "dataDir": str(home), "subnet": "10.8.0.0/24"}
    with PluginBench(
        evolve(BUILT_IN["host-local"], **others),
        {"ipam": ipam},
        gives_addresses=True,
        directories=[home],
        keeps=["file */last_reserved_ip.*", "file */lock"],
    ) as bench:
        yield bench


@contextmanager
def bridged_bench(home: Path, **others: Any) -> Iterator[PluginBench]:
    plugin = evolve(BUILT_IN["bridge"], **others)
    with bridge_bench(plugin, home, 5.0 if others else SETTLE_SECONDS) as bench:
        yield bench


def takes_the_name(call: Call) -> Result:
    """Make room for its own interface."""

    def remove() -> None:
        with open_here() as netlink:
            netlink.request(links.delete(call.ifname))

    with suppress(OSError):
        in_container(call, remove)
    return BUILT_IN["bridge"].add(call)


def deletes_after_any_failure(call: Call) -> Result:
    host_local = BUILT_IN["host-local"]
    try:
        return host_local.add(call)
    except PluginError:
        host_local.delete(call)
        raise


def forgets_what_was_before(call: Call) -> Result:
    return make_result()


def deletes_once(home: Path) -> Callable[[Call], None]:
    return lambda call: Notes(home).note(call).unlink()


def deletes_with_a_result_only(home: Path) -> Callable[[Call], None]:
    def delete(call: Call) -> None:
        if call.previous is None:
            raise PluginError(Code.INVALID_CONFIG, "no prevResult")
        Notes(home).delete(call)

    return delete


def deletes_with_a_namespace_only(home: Path) -> Callable[[Call], None]:
    def delete(call: Call) -> None:
        if call.netns is not None:
            Notes(home).delete(call)

    return delete


def checks_the_interface_only(call: Call) -> None:
    found: list[bool] = []

    def look() -> None:
        with open_here() as netlink:
            found.append(links.find_link(netlink, call.ifname) is not None)

    in_container(call, look)
    if not found[0]:
        raise PluginError(100, "no interface")


def frees_everything(home: Path) -> Callable[[Call], None]:
    def gc(_: Call) -> None:
        for path in home.iterdir():
            path.unlink()

    return gc


def gives_what_it_saw_free(call: Call) -> Result:
    """Look, and take it some time later."""
    directory = Path(str(call.fields.inner("ipam").required_text("dataDir")), call.network)
    directory.mkdir(exist_ok=True)
    taken = {path.name for path in directory.iterdir()}
    free = next(one for one in (f"10.8.0.{number}" for number in range(2, 99)) if one not in taken)
    time.sleep(0.3)
    (directory / free).write_text(f"{call.container_id}\r\n{call.ifname}")
    return make_result(ips=[IpConfig(address=f"{free}/24", gateway=None, interface=None)])


def has_words_of_its_own(call: Call) -> Result:
    try:
        return BUILT_IN["bridge"].add(call)
    except PluginError:
        raise PluginError(100, "no address") from None


def tells_of_another_namespace(call: Call) -> Result:
    interface = Interface(name="eth0", mac=None, sandbox="/run/netns/another")
    BUILT_IN["host-local"].add(call)
    return make_result(interfaces=[interface])


def names_an_interface(call: Call) -> Result:
    given = BUILT_IN["host-local"].add(call)
    interface = Interface(name="eth0", mac=None, sandbox=call.netns.path if call.netns else None)
    ips = [evolve(ip, interface=0) for ip in given.ips]
    return make_result(interfaces=[interface], ips=ips)


def takes_any_port(home: Path) -> Callable[[Call], Result]:
    def add(call: Call) -> Result:
        Notes(home).note(call).touch()
        return call.previous or make_result()

    return add


def needs_an_address(home: Path) -> Callable[[Call], Result]:
    def add(call: Call) -> Result:
        if call.previous is None or call.previous.ipv4 is None:
            raise PluginError(100, "no address")
        return Notes(home).add(call)

    return add


@frozen
class Flaw:
    """A rule, a plugin, and what is wrong with it.

    Attributes:
        rule: The rule.
        bench: Makes the bench.
        verbs: Makes the verbs that break the rule; of a directory.
        what: What is said of it.
    """

    rule: str
    bench: Callable[..., Any]
    verbs: Callable[[Path], Mapping[str, Any]]
    what: str


FLAWS = {
    "takes the name": Flaw(
        "P1", bridged_bench, lambda _: {"add": takes_the_name}, "there already is no error"
    ),
    "gives away what it gave": Flaw(
        "P1",
        leases_bench,
        lambda _: {"add": deletes_after_any_failure},
        "a second ADD takes what the first one gave",
    ),
    "forgets what was before": Flaw(
        "P2", notes_bench, lambda _: {"add": forgets_what_was_before}, "lost of interfaces"
    ),
    "deletes once": Flaw(
        "P3", notes_bench, lambda home: {"delete": deletes_once(home)}, "never added fails"
    ),
    "deletes with a result only": Flaw(
        "P3",
        leases_bench,
        lambda home: {"delete": deletes_with_a_result_only(home)},
        "never added fails",
    ),
    "deletes with a namespace only": Flaw(
        "P3",
        notes_bench,
        lambda home: {"delete": deletes_with_a_namespace_only(home)},
        "is gone the host is not as it was",
    ),
    "checks the interface only": Flaw(
        "P4",
        bridged_bench,
        lambda _: {"check": checks_the_interface_only},
        "of eth0 is gone is no error",
    ),
    "checks no setting": Flaw(
        "P4", notes_bench, lambda _: {"check": None}, f"{SETTING} is 1024 again is no error"
    ),
    "checks no reservation": Flaw(
        "P4", leases_bench, lambda _: {"check": None}, "in its directories is gone is no error"
    ),
    "is always ready": Flaw("P5", notes_bench, lambda _: {"status": None}, "is no error"),
    "frees nothing": Flaw("P6", notes_bench, lambda _: {"gc": None}, "is not as it was: new: file"),
    "frees everything": Flaw(
        "P6", notes_bench, lambda home: {"gc": frees_everything(home)}, "as it was: gone: file"
    ),
    "gives what it saw free": Flaw(
        "P7", leases_bench, lambda _: {"add": gives_what_it_saw_free}, "several were given"
    ),
    "has words of its own": Flaw(
        "P8", bridged_bench, lambda _: {"add": has_words_of_its_own}, "error is not returned"
    ),
    "does not pass a CHECK on": Flaw(
        "P8",
        bridged_bench,
        lambda _: {"check": checks_the_interface_only},
        "CHECK does not ask the address plugin",
    ),
    "tells of another namespace": Flaw(
        "P9", leases_bench, lambda _: {"add": tells_of_another_namespace}, "sandbox is CNI_NETNS"
    ),
    "names an interface": Flaw(
        "P9", leases_bench, lambda _: {"add": names_an_interface}, "tells of interfaces"
    ),
    "takes any port": Flaw(
        "P11", notes_bench, lambda home: {"add": takes_any_port(home)}, "is no error"
    ),
    "needs an address": Flaw(
        "P12", notes_bench, lambda home: {"add": needs_an_address(home)}, "host's side only fails"
    ),
}


@pytest.mark.rule("R41", "P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9", "P11", "P12")
@pytest.mark.parametrize("flaw", FLAWS.values(), ids=list(FLAWS))
def test_a_plugin_that_breaks_a_rule_is_caught(flaw: Flaw, tmp_path: Path) -> None:
    check = PLUGIN_RULES[flaw.rule].check
    with (
        flaw.bench(tmp_path, **flaw.verbs(tmp_path)) as bench,
        pytest.raises(RuleBroken) as caught,
    ):
        check(bench)
    assert caught.value.rule == flaw.rule
    assert flaw.what in caught.value.what


@pytest.mark.parametrize(
    ("rule", "bench_of"), dict.fromkeys((flaw.rule, flaw.bench) for flaw in FLAWS.values())
)
def test_the_same_without_the_flaw_is_not(
    bench_of: Callable[..., Any], rule: str, tmp_path: Path
) -> None:
    with bench_of(tmp_path) as bench:
        PLUGIN_RULES[rule].check(bench)


_WORDLESS = """\
#!{python} -IS
import json, os, sys
asked = json.load(sys.stdin)
if os.environ["CNI_COMMAND"] == "VERSION":
    print(json.dumps(dict(cniVersion={version}, supportedVersions=["0.4.0", "1.0.0"])))
elif not os.environ["CNI_IFNAME"]:
    {refuse}
    sys.exit(1)
"""


@pytest.mark.rule("P10")
@pytest.mark.parametrize(
    ("version", "refuse", "what"),
    [
        pytest.param('"1.0.0"', "pass", "VERSION of 0.4.0 answers 1.0.0", id="its own version"),
        pytest.param('asked["cniVersion"]', "pass", "without an error object", id="no words"),
        pytest.param(
            'asked["cniVersion"]',
            'print(json.dumps(dict(code=4, msg="a variable is missing")))',
            "code 4 does not name ['CNI_CONTAINERID', 'CNI_IFNAME']",
            id="no names",
        ),
        pytest.param(
            'asked["cniVersion"]',
            'print(json.dumps(dict(code=5, msg="no")))',
            "is code 4, not 5",
            id="another code",
        ),
    ],
)
def test_an_executable_whose_words_are_wrong_is_caught(
    version: str, refuse: str, what: str, tmp_path: Path
) -> None:
    path = tmp_path / "wordless"
    path.write_text(_WORDLESS.format(python=sys.executable, version=version, refuse=refuse))
    path.chmod(0o755)
    with PluginBench(path, {}) as bench, pytest.raises(RuleBroken) as caught:
        PLUGIN_RULES["P10"].check(bench)
    assert caught.value.rule == "P10"
    assert what in caught.value.what


@pytest.mark.rule("P3")
def test_what_an_add_leaves_that_was_killed_is_caught(tmp_path: Path) -> None:
    """A file of the container whose name its DEL does not know."""

    def add(call: Call) -> Result:
        (tmp_path / "being-written").touch()
        (tmp_path / "being-written").rename(Notes(tmp_path).note(call))
        return Notes(tmp_path).add(call)

    with notes_bench(tmp_path, add=add) as bench, pytest.raises(RuleBroken) as caught:
        check_kills(bench)
    assert "being-written" in caught.value.what


def test_a_bench_has_a_check_for_each_rule_of_plugins() -> None:
    rules = [rule.id for rule in read_rules() if rule.id.startswith("P")]
    assert list(PLUGIN_RULES) == rules
    flawed = {flaw.rule for flaw in FLAWS.values()} | {"P10"}
    assert flawed == set(rules)


def test_what_is_broken_pickles() -> None:
    error = pickle.loads(pickle.dumps(RuleBroken("P3", "a second DEL fails")))  # noqa: S301
    assert (error.rule, error.what) == ("P3", "a second DEL fails")
