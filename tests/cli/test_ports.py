"""Ports of the host as people write them."""

from __future__ import annotations

import pytest

from acni import PortMapping
from acni.cli.ports import parse_port
from acni.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "host", "at", "protocol"),
    [
        ("80", 0, None, "tcp"),
        ("80/UDP", 0, None, "udp"),
        (":80", 0, None, "tcp"),
        ("0:80", 0, None, "tcp"),
        ("8080:80", 8080, None, "tcp"),
        ("8080:80/sctp", 8080, None, "sctp"),
        ("127.0.0.1:8080:80/udp", 8080, "127.0.0.1", "udp"),
        ("127.0.0.1::80", 0, "127.0.0.1", "tcp"),
        ("[fd00::1]:8080:80", 8080, "fd00::1", "tcp"),
        ("[::]::80", 0, "::", "tcp"),
    ],
)
def test_a_port_is_read_and_written_again(
    text: str, host: int, at: str | None, protocol: str
) -> None:
    port = parse_port(text)
    assert (port.host, port.container, port.protocol) == (host, 80, protocol)
    assert (None if port.host_ip is None else str(port.host_ip)) == at
    assert parse_port(str(port)) == port


def test_it_is_written_as_others_write_it() -> None:
    assert str(PortMapping(host=53, container=5353, protocol="udp")) == "53:5353/udp"
    assert str(PortMapping(host=1, container=2, host_ip="::1")) == "[::1]:1:2/tcp"


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "80:", "a", "80/", "80/icmp", "80-90", "1:2:3", "fd00::1:8080:80", "-1"),
        *(
            "65536",
            "8080:65536",
            "8080:0",
            "99999:80",
            "[]:1:2",
            "host:1:2",
            "1.2.3.4:80",
            "1:2:3:4",
        ),
        *("80 ", "\u0668", "[fe80::1%eth0]:1:2", "80/tcp/udp", "10.0.0.1/24:1:2"),
    ],
)
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_port(text)
    assert caught.value.message.count("; expected ") == 1
