"""What firewall is configured with."""

from __future__ import annotations

from typing import Any

import pytest

from acni.plugins.firewall_settings import Policy, Settings, parse_settings
from acni.skel import PluginError
from tests.plugins.calling import make_call


def parse(**members: Any) -> Settings:
    return parse_settings(make_call({"type": "firewall", **members}))


def test_without_anything_nothing_is_kept_from_anybody_and_nothing_opened() -> None:
    assert parse() == Settings(policy=Policy.OPEN, opens=None, names_admin_chain=False)
    empty = {"ingressPolicy": "", "backend": "", "firewalldZone": "", "iptablesAdminChainName": ""}
    assert parse(**empty) == parse()
    assert parse(**dict.fromkeys(empty), openForwarding=None) == parse()


def test_what_is_said_is_read_in_any_case_of_its_letters() -> None:
    for policy in Policy:
        assert parse(IngressPolicy=str(policy), backend="nftables").policy is policy
    assert [parse(openforwarding=one).opens for one in (True, False)] == [True, False]
    assert parse(iptablesAdminChainName="CNI-ADMIN").names_admin_chain


@pytest.mark.rule("P10", "P11")
@pytest.mark.parametrize(
    ("members", "code", "said"),
    [
        ({"ingressPolicy": "Open"}, 7, "'Open' is no policy at $.ingressPolicy"),
        ({"ingressPolicy": True}, 7, "$.ingressPolicy"),
        ({"openForwarding": 1}, 7, "$.openForwarding"),
        ({"backend": "firewalld"}, 2, '"backend": firewalld is not supported at $.backend'),
        ({"backend": "none"}, 7, "$.backend"),
        ({"firewalldZone": "public"}, 2, "$.firewalldZone"),
        ({"iptablesAdminChainName": "cni-admin"}, 2, "$.iptablesAdminChainName"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_place(
    members: dict[str, Any], code: int, said: str
) -> None:
    with pytest.raises(PluginError) as raised:
        parse(**members)
    assert raised.value.code == code
    assert said in raised.value.msg
    assert raised.value.details
