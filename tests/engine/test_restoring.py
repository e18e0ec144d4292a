"""What somebody takes away of what built-in plugins made is put back from the records: by recover,
and by a runtime that begins.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, closing
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from attrs import define, field

import acni
from acni import Attachment, AttachmentId, BuiltIns, NetworkConfig, PluginFailed, Runtime, netns
from acni.errors import NotReady
from acni.events import AttachmentRestored, Event
from acni.netlink.netfilter import Netfilter
from acni.netlink.wire import KernelWire
from acni.skel import Call, PluginError, Verbs, make_result
from acni.spec.plugin import Plugin, Request, Response
from acni.testing import ScriptedRunner
from tests.engine.builtin_world import ip
from tests.plugins.striking import Failing

pytestmark = [
    pytest.mark.netns,
    pytest.mark.usefixtures("clean_host", "no_plugin_thread_left"),
]

C1, C2 = (AttachmentId(name) for name in ("c1", "c2"))
FLUSHES = ("flush ruleset", "delete table inet acni", "flush map inet acni hostports4")


def nft(*words: str) -> str:
    run = subprocess.run(["nft", *words], capture_output=True, text=True, timeout=30, check=True)
    return run.stdout


def there() -> Any:
    """What the table has, but for handles."""
    listed = json.loads(nft("-j", "list", "ruleset"))["nftables"]
    found = [one for one in listed if "metainfo" not in one]
    for one in found:
        for said in one.values():
            said.pop("handle", None)
    return sorted(found, key=json.dumps)


def last_rule(chain: str) -> list[str]:
    """Say which is the last rule of a chain of ours."""
    listed = nft("-a", "list", "chain", "inet", "acni", chain)
    (*_, handle) = re.findall(r"# handle (\d+)$", listed, re.MULTILINE)
    return ["inet", "acni", chain, "handle", handle]


def generation() -> int:
    """Changes with whatever changes a rule, or an element."""
    with closing(Netfilter.open()) as netfilter:
        return netfilter.generation()


def network_of(
    leases: Path,
    version: str = "1.1.0",
    *,
    name: str = "net",
    masquerades: bool = True,
    **members: Any,
) -> NetworkConfig:
    document = configuration(leases, version, name=name, masquerades=masquerades, **members)
    return acni.parse_network(json.dumps(document).encode())


def configuration(
    leases: Path,
    version: str = "1.1.0",
    *,
    name: str = "net",
    masquerades: bool = True,
    **members: Any,
) -> dict[str, Any]:
    bridge = {
        "type": "bridge",
        "bridge": "br0",
        "isGateway": True,
        "ipMasq": masquerades,
        "ipam": {
            "type": "host-local",
            "dataDir": str(leases),
            "ranges": [[{"subnet": "10.9.0.0/16"}]],
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": version, "name": name, "plugins": [bridge, portmap], **members}


@pytest.fixture
def network(tmp_path: Path) -> NetworkConfig:
    return network_of(tmp_path / "leases")


@define(eq=False)
class Pods:
    """Containers, made when they are first named."""

    made: ExitStack
    found: dict[str, str] = field(factory=dict[str, str])

    def attachment(self, name: str, port: int) -> Attachment:
        """Return one that wants a port of the host."""
        if name not in self.found:
            self.found[name] = self.made.enter_context(netns.anonymous()).path
        wanted = [{"hostPort": port, "containerPort": 80, "protocol": "tcp"}]
        return Attachment(
            container_id=name, netns=self.found[name], capability_args={"portMappings": wanted}
        )


@pytest.fixture
def pods() -> Iterator[Pods]:
    with ExitStack() as made:
        yield Pods(made)
        # The next test begins on this host; the kernel takes its time with namespaces.
        for link in ip("-j", "link", "show", "type", "veth"):
            ip("link", "delete", link["ifname"])


Open = Callable[..., AbstractAsyncContextManager[Runtime]]


@pytest.fixture
def runner() -> Iterator[BuiltIns]:
    with BuiltIns() as made:
        yield made


@pytest.fixture
def open_it(state_dir: Path, runner: BuiltIns, events: list[Event]) -> Open:
    def open_it(**options: Any) -> AbstractAsyncContextManager[Runtime]:
        given: Mapping[str, Any] = {
            "runner": runner,
            "recover": False,
            "durability": "process",
            "observers": [events.append],
        }
        return acni.open_runtime(
            state_dir=state_dir, plugin_dirs=["/plugins"], **{**given, **options}
        )

    return open_it


@pytest.mark.anyio
async def test_recover_puts_back_what_somebody_took_away(
    open_it: Open, network: NetworkConfig, pods: Pods, events: list[Event]
) -> None:
    async with open_it() as runtime:
        for number, name in enumerate(("c1", "c2")):
            await runtime.add(network, pods.attachment(name, 8080 + number))
        before = there()
        for flush in FLUSHES:
            nft(flush)
            assert there() != before
            report = await runtime.recover()
            assert there() == before, flush
            assert set(report.restored) == {C1, C2}
            assert report.failures == ()
            await runtime.check(C1)
        told = [event for event in events if isinstance(event, AttachmentRestored)]
        assert [event.plugins for event in told] == [
            *[("bridge", "portmap")] * 4,
            *[("portmap",)] * 2,
        ]


@pytest.mark.anyio
async def test_rules_that_were_flushed_alone_are_put_back_and_told(
    open_it: Open, network: NetworkConfig, pods: Pods
) -> None:
    """As ``nft flush table`` does, which leaves all elements; a single one as well as all."""
    async with open_it() as runtime:
        await runtime.add(network, pods.attachment("c1", 8080))
        before = there()
        for flush in ("flush table inet acni", "flush chain inet acni to_pods", "delete rule"):
            nft(*(flush.split() if flush != "delete rule" else [flush, *last_rule("postrouting")]))
            assert there() != before
            with pytest.raises(PluginFailed, match="of the table acni lacks a rule"):
                await runtime.check(C1)
            with pytest.raises(NotReady, match="took away"):
                await runtime.status(network)
            report = await runtime.recover()
            assert there() == before, flush
            assert report.restored == (C1,)
            await runtime.check(C1)
            await runtime.status(network)


@pytest.mark.anyio
async def test_a_table_that_was_put_to_sleep_is_named_and_left_to_who_did_that(
    open_it: Open, network: NetworkConfig, pods: Pods
) -> None:
    """As long as it sleeps nothing of it holds, whatever is in it."""
    words = r"the table inet acni sleeps \(flags dormant\)"
    async with open_it() as runtime:
        await runtime.add(network, pods.attachment("c1", 8080))
        before = there()
        nft("add table inet acni { flags dormant; }")
        asleep = there()
        with pytest.raises(PluginFailed, match=words) as checked:
            await runtime.check(C1)
        with pytest.raises(NotReady, match=words) as raised:
            await runtime.status(network)
        with pytest.raises(PluginFailed, match=words) as refused:
            await runtime.add(network, pods.attachment("c2", 8081))
        assert [(one.value.code, one.value.reason) for one in (checked, raised, refused)] == [
            (117, "table-asleep"),
            (51, "table-asleep"),
            (117, "table-asleep"),
        ]
        assert refused.value.debt is None
        report = await runtime.recover()
        assert report.restored == ()
        assert [str(one) for one in report.failures if re.search(words, str(one))] != []
        assert there() == asleep
        nft("flush map inet acni hostports4")
        assert (await runtime.recover()).restored == ()
        assert there() != asleep, "somebody's table was written to while it slept"
        nft("add table inet acni")
        assert (await runtime.recover()).restored == (C1,)
        assert there() == before
        await runtime.check(C1)
        await runtime.status(network)


@pytest.mark.anyio
async def test_a_port_that_was_picked_is_the_same_again(
    open_it: Open, network: NetworkConfig, pods: Pods
) -> None:
    async with open_it() as runtime:
        await runtime.add(network, pods.attachment("c1", 0))
        before = there()
        nft("flush ruleset")
        assert (await runtime.recover()).restored == (C1,)
        assert there() == before


@pytest.mark.anyio
async def test_policies_and_the_check_of_senders_are_put_back_as_well(
    open_it: Open, tmp_path: Path, pods: Pods
) -> None:
    """And, where a policy drops what is forwarded, what lets the container through it."""
    document = configuration(tmp_path / "leases")
    document["plugins"][0]["macspoofchk"] = True
    firewall = {"type": "firewall", "ingressPolicy": "isolated", "openForwarding": True}
    document["plugins"].append(firewall)
    network = acni.parse_network(json.dumps(document).encode())
    drop_what_is_forwarded()
    async with open_it() as runtime:
        await runtime.add(network, pods.attachment("c1", 8080))
        before, opened = ours(), forwarding()
        assert any("br0" in line for line in opened)
        for flush in (
            "flush ruleset",
            "delete table bridge acni",
            "flush set inet acni isolated4",
            "flush set inet acni apart",
            "flush chain ip filter FORWARD",
        ):
            nft(flush)
            drop_what_is_forwarded()
            assert (await runtime.recover()).restored == (C1,), flush
            assert (ours(), forwarding()) == (before, opened)
            await runtime.check(C1)
        assert (await runtime.recover()).restored == ()


@pytest.mark.anyio
async def test_what_sleeps_keeps_nothing_else_from_being_put_back(
    open_it: Open, tmp_path: Path, pods: Pods
) -> None:
    document = configuration(tmp_path / "leases")
    document["plugins"][0]["macspoofchk"] = True
    network = acni.parse_network(json.dumps(document).encode())
    async with open_it() as runtime:
        await runtime.add(network, pods.attachment("c1", 8080))
        before = ours()
        nft("add table bridge acni { flags dormant; }")
        nft("delete table inet acni")
        report = await runtime.recover()
        assert any("the table bridge acni sleeps" in str(one) for one in report.failures)
        nft("add table bridge acni")
        assert ours() == before


def drop_what_is_forwarded() -> None:
    subprocess.run(["iptables", "-P", "FORWARD", "DROP"], check=True, timeout=30)


def forwarding() -> list[str]:
    command = ["iptables", "-S", "FORWARD"]
    run = subprocess.run(command, check=True, timeout=30, capture_output=True, text=True)
    return run.stdout.splitlines()


def ours() -> Any:
    return [one for one in there() if '"table": "acni"' in json.dumps(one)]


@pytest.mark.anyio
async def test_where_nothing_is_missing_nothing_is_done_and_nobody_is_told(
    open_it: Open, network: NetworkConfig, pods: Pods, events: list[Event]
) -> None:
    async with open_it() as runtime:
        await runtime.add(network, pods.attachment("c1", 8080))
        events.clear()
        before = generation()
        report = await runtime.recover()
        assert report == acni.RecoveryReport(settled=(), owed=(), failures=())
        assert events == []
        assert generation() == before


@pytest.mark.anyio
@pytest.mark.parametrize(
    "members",
    [{"version": "0.3.1"}, {"disableCheck": True, "disableGC": True}],
    ids=["a version without CHECK", "checks disabled"],
)
async def test_whatever_verbs_a_network_has_it_is_put_back(
    open_it: Open, tmp_path: Path, pods: Pods, members: dict[str, Any]
) -> None:
    network = network_of(tmp_path / "leases", **members)
    async with open_it() as runtime:
        await runtime.add(network, pods.attachment("c1", 8080))
        before = there()
        nft("flush ruleset")
        assert (await runtime.recover()).restored == (C1,)
        assert there() == before


@pytest.mark.anyio
async def test_a_container_whose_namespace_is_gone_has_a_delete_to_come_and_no_check(
    open_it: Open, network: NetworkConfig, state_dir: Path
) -> None:
    with netns.anonymous() as box:
        attachment = Attachment(container_id="c1", netns=box.path)
        async with open_it() as runtime:
            await runtime.add(network, attachment)
    before = there()
    nft("flush ruleset")
    async with open_it() as runtime:
        assert (await runtime.recover()).failures == ()
        assert there() == before
        await runtime.delete(C1)
        assert elements() == set()


@pytest.mark.anyio
async def test_what_was_attached_from_another_host_namespace_is_left_alone(
    open_it: Open, network: NetworkConfig, pods: Pods, state_dir: Path
) -> None:
    """Its rules are there, not here."""
    async with open_it() as runtime:
        await runtime.add(network, pods.attachment("c1", 8080))
    path = state_dir / "results" / "net-c1-eth0"
    record = json.loads(path.read_text())
    record["acni"]["host_netns"]["id"] += "1"
    path.write_text(json.dumps(record))
    nft("flush ruleset")
    async with open_it() as runtime:
        assert (await runtime.recover()).restored == ()
        await runtime.status(network)
    assert there() == []


def elements() -> set[str]:
    return {
        name
        for one in there()
        for kind in ("set", "map")
        if kind in one and "elem" in one[kind]
        for name in [one[kind]["name"]]
    }


@pytest.mark.anyio
async def test_a_runtime_that_begins_puts_back_what_is_missing(
    open_it: Open, network: NetworkConfig, pods: Pods
) -> None:
    async with open_it() as runtime:
        await runtime.add(network, pods.attachment("c1", 8080))
    before = there()
    nft("flush ruleset")
    is_told = anyio.Event()

    def tell(event: Event) -> None:
        if isinstance(event, AttachmentRestored):
            is_told.set()

    async with open_it(recover=True, observers=[tell]):
        with anyio.fail_after(20):
            await is_told.wait()
        assert there() == before


@pytest.mark.anyio
async def test_what_is_anothers_by_now_stays_so_and_the_rest_is_put_back(
    open_it: Open, network: NetworkConfig, pods: Pods
) -> None:
    """After a flush a port may be given to the next container, and a program may listen on one."""
    async with open_it() as runtime:
        await runtime.add(network, pods.attachment("c1", 8080))
        nft("flush ruleset")
        await runtime.add(network, pods.attachment("c2", 8080))
        theirs = there()
        for _ in range(2):
            report = await runtime.recover()
            (error,) = report.failures
            assert isinstance(error, PluginFailed)
            assert (error.plugin, error.verb, str(error.container_id)) == (
                "portmap",
                "recover",
                "c1",
            )
            assert error.reason == "port-taken"
            assert "acni net c2 eth0" in str(error)
            assert "RESTORE failed" in error.message
        assert [one for one in theirs if one not in there() and "rule" in one] == []
        await runtime.check(C2)
        await runtime.delete(C2)
        assert (await runtime.recover()).restored == (C1,)
        await runtime.check(C1)


@pytest.mark.anyio
async def test_status_says_what_somebody_took_away(
    open_it: Open, tmp_path: Path, pods: Pods
) -> None:
    """Of this network alone; one without masquerading has nobody but the records to tell."""
    network, other = (
        network_of(tmp_path / "leases", name=name, masquerades=False) for name in ("net", "other")
    )
    async with open_it() as runtime:
        await runtime.add(network, pods.attachment("c1", 8080))
        await runtime.status(network)
        nft("flush ruleset")
        with pytest.raises(NotReady, match="acni recover") as raised:
            await runtime.status(network)
        error = raised.value
        assert (error.code, error.reason, error.plugin) == (51, "rules-lost", "portmap")
        await runtime.status(other)
        await runtime.recover()
        await runtime.status(network)


class Looking(BuiltIns):
    """Counts the looks."""

    looks = 0

    def look(self, plugin: Plugin, request: Request, *, seconds: float) -> Response:
        self.looks += 1
        return super().look(plugin, request, seconds=seconds)


@pytest.mark.anyio
async def test_status_looks_at_nothing_as_long_as_the_tables_are_the_same(
    open_it: Open, network: NetworkConfig, pods: Pods
) -> None:
    with Looking() as runner:
        async with open_it(runner=runner) as runtime:
            for number in range(2):
                await runtime.add(network, pods.attachment(f"c{number}", 8080 + number))
            for _ in range(3):
                await runtime.status(network)
            assert runner.looks == 4
            await runtime.add(network, pods.attachment("c2", 8082))
            await runtime.status(network)
            assert runner.looks == 4
            nft("delete table inet acni")
            await runtime.add(network, pods.attachment("c3", 8083))
            for _ in range(2):
                with pytest.raises(NotReady):
                    await runtime.status(network)
            await runtime.recover()
            before = runner.looks
            for _ in range(2):
                await runtime.status(network)
            assert runner.looks == before + 8


@pytest.mark.anyio
async def test_a_program_or_a_rule_that_came_meanwhile_is_heeded(
    open_it: Open, network: NetworkConfig, pods: Pods
) -> None:
    async with open_it() as runtime:
        await runtime.add(network, pods.attachment("c1", 8080))
        before = there()
        nft("flush ruleset")
        with closing(socket.create_server(("127.0.0.1", 8080))):
            (error,) = (await runtime.recover()).failures
            assert (error.plugin, error.reason) == ("portmap", "port-taken")
        nft("add table ip nat")
        nft("add chain ip nat PREROUTING { type nat hook prerouting priority -100; }")
        nft("add rule ip nat PREROUTING tcp dport 8080 return")
        (error,) = (await runtime.recover()).failures
        assert (error.plugin, error.reason) == ("portmap", "nat-rule")
        nft("delete table ip nat")
        assert (await runtime.recover()).restored == (C1,)
        assert there() == before


@pytest.mark.anyio
async def test_an_address_that_is_anothers_by_now_stays_so(
    open_it: Open, network: NetworkConfig, pods: Pods
) -> None:
    async with open_it() as runtime:
        await runtime.add(network, pods.attachment("c1", 8080))
        nft("flush map inet acni owners4")
        nft('add element inet acni owners4 { 10.9.0.2 comment "acni net c9 eth0" : 0x7 }')
        before = there()
        (error,) = (await runtime.recover()).failures
        assert (error.reason, error.plugin) == ("address-taken", "bridge")
        assert "10.9.0.2 belongs to another attachment (acni net c9 eth0)" in str(error)
        assert "portmap" in error.__notes__[0]
        assert there() == before


@pytest.mark.deep
def test_a_runtime_that_is_killed_while_it_puts_back_leaves_the_rest_to_the_next(
    tmp_path: Path,
) -> None:
    """After each message to the kernel; on a host of its own."""
    text = json.dumps(configuration(tmp_path / "leases"))
    script = [sys.executable, "-m", "tests.engine.killing_recovery", str(tmp_path), text]
    run = subprocess.run(
        ["unshare", "-n", *script], capture_output=True, text=True, timeout=100, check=False
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 10


@pytest.mark.parametrize("is_heeded", [False, True], ids=["unheeded", "heeded"])
def test_whatever_the_kernel_does_not_take_is_a_failure_and_is_put_back_by_the_next(
    open_it: Open,
    network: NetworkConfig,
    pods: Pods,
    monkeypatch: pytest.MonkeyPatch,
    is_heeded: bool,
) -> None:
    """Each send of a recover fails."""
    send = KernelWire.send

    async def main() -> int:
        async with open_it() as runtime:
            await runtime.add(network, pods.attachment("c1", 8080))
            before = there()
            for number in range(1, 60):
                failing = Failing(number, is_heeded)
                nft("flush ruleset")
                with monkeypatch.context() as patch:
                    patch.setattr(KernelWire, "send", failing.given(send))
                    report = await runtime.recover()
                if failing.calls < number:
                    assert there() == before
                    return number
                for error in report.failures:
                    assert isinstance(error, acni.PluginFailed | acni.errors.TryAgain)
                assert (await runtime.recover()).failures == ()
                assert there() == before, number
        raise AssertionError("it never came to an end")

    assert anyio.run(main) > 10


class Mine:
    """A plugin that holds something of each container, all of which somebody took away."""

    def __init__(self) -> None:
        self.put_back: list[str] = []
        self.fails = False
        self.is_deleting = threading.Event()
        self.may_delete = threading.Event()
        self.has_put_back = threading.Event()
        self.was_asked = threading.Event()

    def runner(self) -> BuiltIns:
        verbs = Verbs(add=lambda _: make_result(), delete=self._delete, restore=self._find)
        return BuiltIns(plugins={"mine": verbs})

    def _delete(self, _: Call) -> None:
        self.is_deleting.set()
        assert self.may_delete.wait(20)

    def _find(self, call: Call) -> Callable[[], object]:
        assert (call.netns, call.command) == (None, "CHECK")
        self.was_asked.set()
        if self.fails:
            raise PluginError(120, "not now", reason="not-now")

        def put_back() -> None:
            self.put_back.append(call.container_id)
            self.has_put_back.set()

        return put_back


@pytest.mark.anyio
async def test_a_container_that_is_being_deleted_is_not_put_back(open_it: Open, pods: Pods) -> None:
    """It is attached when it is looked at, and deleted once its turn has come."""
    mine, reports = Mine(), list[acni.RecoveryReport]()
    network = acni.networks.from_plugins("net", {"type": "mine"})
    with mine.runner() as runner:
        async with open_it(runner=runner) as runtime:
            for name in ("c1", "c2"):
                await runtime.add(network, pods.attachment(name, 80))

            async def recover() -> None:
                reports.append(await runtime.recover())

            with anyio.fail_after(20):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(runtime.delete, C1)
                    await anyio.to_thread.run_sync(mine.is_deleting.wait)
                    tasks.start_soon(recover)
                    await anyio.to_thread.run_sync(mine.has_put_back.wait)
                    mine.may_delete.set()
            assert mine.put_back == ["c2"]
            assert [report.restored for report in reports] == [(C2,)]


@pytest.mark.anyio
async def test_what_a_delete_has_taken_out_is_nothing_that_status_misses(
    open_it: Open, pods: Pods
) -> None:
    mine = Mine()
    network = acni.networks.from_plugins("net", {"type": "mine"}, version="1.1.0")
    with mine.runner() as runner:
        async with open_it(runner=runner) as runtime:
            await runtime.add(network, pods.attachment("c1", 80))
            with pytest.raises(NotReady, match="took away what c1/eth0 had"):
                await runtime.status(network)
            mine.was_asked.clear()
            with anyio.fail_after(20):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(runtime.delete, C1)
                    await anyio.to_thread.run_sync(mine.is_deleting.wait)
                    tasks.start_soon(runtime.status, network)
                    await anyio.to_thread.run_sync(mine.was_asked.wait)
                    mine.may_delete.set()


@pytest.mark.anyio
async def test_what_is_worked_on_for_long_is_nothing_that_status_misses(
    open_it: Open, pods: Pods
) -> None:
    mine = Mine()
    network = acni.networks.from_plugins("net", {"type": "mine"}, version="1.1.0")
    with mine.runner() as runner:
        async with open_it(runner=runner) as runtime:
            await runtime.add(network, pods.attachment("c1", 80))
            with anyio.fail_after(20):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(runtime.delete, C1)
                    await anyio.to_thread.run_sync(mine.is_deleting.wait)
                    await runtime.status(network)
                    mine.may_delete.set()


@pytest.mark.anyio
async def test_what_cannot_be_looked_at_is_a_failure(open_it: Open, pods: Pods) -> None:
    mine = Mine()
    network = acni.networks.from_plugins("net", {"type": "mine"})
    with mine.runner() as runner:
        async with open_it(runner=runner) as runtime:
            await runtime.add(network, pods.attachment("c1", 80))
            mine.fails = True
            report = await runtime.recover()
            assert [(error.plugin, error.reason) for error in report.failures] == [
                ("mine", "not-now")
            ]
            assert (report.restored, report.owed, mine.put_back) == ((), (), [])


@pytest.mark.anyio
async def test_nobody_else_is_asked(open_it: Open, pods: Pods, scripted: ScriptedRunner) -> None:
    """Neither a runner that cannot, nor about what another kind of runner added."""
    mine = Mine()
    network = acni.networks.from_plugins("net", {"type": "mine"})
    async with open_it(runner=scripted) as runtime:
        await runtime.add(network, pods.attachment("c1", 80))
        assert await runtime.recover() == acni.RecoveryReport(settled=(), owed=(), failures=())
    with mine.runner() as runner:
        async with open_it(runner=runner) as runtime:
            assert (await runtime.recover()).restored == ()
    assert mine.put_back == []
