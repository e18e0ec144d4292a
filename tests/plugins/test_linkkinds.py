"""What STATUS relies on: the kernel looks for the kind of a link before it looks at the name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from acni import netns
from acni.netlink.bridges import new_bridge
from acni.netlink.linkmessages import IFLA_INFO_KIND, IFLA_LINKINFO, RTM_NEWLINK, link_message
from acni.netlink.links import list_links
from acni.netlink.messages import CREATE, EXCL, nested, text
from acni.netlink.sockets import Netlink, open_inside
from acni.plugins.linkkinds import NO_NAME, require_kind, require_pairs
from acni.skel import PluginError

pytestmark = pytest.mark.netns


@pytest.fixture
def host() -> Iterator[Netlink]:
    with netns.anonymous() as made, open_inside(made.fd, path=made.path) as netlink:
        yield netlink


@pytest.mark.rule("P5")
def test_a_kind_that_the_kernel_has_is_told_by_the_name_that_is_none(host: Netlink) -> None:
    before = list_links(host)
    require_kind(host, "bridge", new_bridge(NO_NAME))
    require_pairs(host)
    assert list_links(host) == before


@pytest.mark.rule("P5")
def test_a_kind_that_it_has_not_is_refused(host: Netlink) -> None:
    unknown = nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "nosuchkind"))
    attempt = link_message(RTM_NEWLINK, CREATE | EXCL, unknown, which=NO_NAME)
    with pytest.raises(PluginError, match="links of the kind nosuchkind: ") as raised:
        require_kind(host, "nosuchkind", attempt)
    assert (raised.value.code, raised.value.reason) == (50, "kernel-feature")
