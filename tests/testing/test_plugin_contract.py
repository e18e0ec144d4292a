"""acni's own plugins pass what authors of plugins test theirs with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from acni.plugins.catalog import BUILT_IN
from acni.plugins.installing import install
from acni.skel import Verbs
from acni.testing import PluginBench, PluginContract, RuleBroken
from tests.plugins.answering import REFERENCES

pytestmark = pytest.mark.netns


class TestLoopback(PluginContract):
    @pytest.fixture
    def bench(self) -> Iterator[PluginBench]:
        with PluginBench(BUILT_IN["loopback"], {}, ifname="lo") as bench:
            yield bench


class TestStatic(PluginContract):
    @pytest.fixture
    def bench(self) -> Iterator[PluginBench]:
        ipam = {"type": "static", "addresses": [{"address": "10.8.0.9/24"}]}
        with PluginBench(
            BUILT_IN["static"],
            {"ipam": ipam},
            gives_addresses=True,
            unacceptable={"ipam": {"type": "static", "addresses": [{"address": "10.8.0.9"}]}},
            not_ready={"ipam": {"type": "static", "addresses": "none"}},
        ) as bench:
            yield bench


class TestHostLocal(PluginContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[PluginBench]:
        ipam = {"type": "host-local", "dataDir": str(tmp_path), "subnet": "10.8.0.0/24"}
        with PluginBench(
            BUILT_IN["host-local"],
            {"ipam": ipam},
            gives_addresses=True,
            directories=[tmp_path],
            keeps=["file */last_reserved_ip.*", "file */lock"],
            unacceptable={"ipam": {**ipam, "subnet": "10.8.0.0/33"}},
            not_ready={"ipam": {**ipam, "subnet": "10.8.0.0/33"}},
        ) as bench:
            yield bench


BRIDGE_KEEPS = [
    "* br0",
    "* br0 *",
    "setting */conf/br0/*",
    # And what the kernel sets with it.
    "setting ipv4/*forward*",
    "setting ipv4/conf/*/accept_redirects",
    "file */last_reserved_ip.*",
    "file */lock",
]


# The kernel takes one namespace down after the other: where tests beside these leave a thousand, it
# comes to ours some ten seconds later.
SETTLE_SECONDS = 60.0


def bridge_bench(
    plugin: Verbs | Path, directory: Path, settle_seconds: float = SETTLE_SECONDS
) -> PluginBench:
    ipam = {"type": "host-local", "dataDir": str(directory), "subnet": "10.8.0.0/24"}
    routes = [{"dst": "0.0.0.0/0"}]
    return PluginBench(
        plugin,
        {"bridge": "br0", "isGateway": True, "ipam": {**ipam, "routes": routes}},
        directories=[directory],
        keeps=BRIDGE_KEEPS,
        unacceptable={"mtu": "large"},
        not_ready={"ipam": {**ipam, "subnet": "10.8.0.0/33"}},
        settle_seconds=settle_seconds,
    )


class TestBridge(PluginContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[PluginBench]:
        with bridge_bench(BUILT_IN["bridge"], tmp_path) as bench:
            yield bench


class TestBridgeExecutable(PluginContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[PluginBench]:
        install(str(tmp_path / "bin"))
        with bridge_bench(tmp_path / "bin" / "bridge", tmp_path / "leases") as bench:
            yield bench


@pytest.mark.deep
class TestDebianBridge(PluginContract):
    """The reference's breaks two rules."""

    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[PluginBench]:
        with bridge_bench(REFERENCES / "bridge", tmp_path) as bench:
            (bench.search_path / "host-local").symlink_to(REFERENCES / "host-local")
            yield bench

    def test_p8_the_address_plugin_is_asked_as_it_was_itself(self, bench: PluginBench) -> None:
        with pytest.raises(RuleBroken, match="failed ADD it is not told DEL"):
            super().test_p8_the_address_plugin_is_asked_as_it_was_itself(bench)

    def test_p10_an_error_is_one_that_a_runtime_reads(self, bench: PluginBench) -> None:
        with pytest.raises(RuleBroken, match=r"VERSION of 0\.4\.0 answers 1\.0\.0"):
            super().test_p10_an_error_is_one_that_a_runtime_reads(bench)
