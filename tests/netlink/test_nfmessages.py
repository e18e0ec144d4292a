"""Messages of nfnetlink, and batches of them."""

from __future__ import annotations

import pytest

from acni.netlink.errors import Malformed
from acni.netlink.messages import Answer, Message, be32
from acni.netlink.nfmessages import batch_of, family_and_attributes, subsystem_message


def test_a_message_says_its_subsystem_and_its_family() -> None:
    message = subsystem_message(10, 3, 0x400, be32(1, 7), family=1)
    assert (message.kind, message.flags) == (0x0A03, 0x400)
    assert message.body == b"\1\0\0\0" + be32(1, 7)


def test_a_batch_is_for_nf_tables_and_may_have_a_condition() -> None:
    one = Message(0xA00, 0, b"")
    edge = b"\0\0\0\x0a"
    assert batch_of([one]) == [Message(0x10, 0, edge), one, Message(0x11, 0, edge)]
    assert batch_of([one], generation=9)[0] == Message(0x10, 0, edge + be32(1, 9))


def test_an_answer_has_a_family_and_attributes() -> None:
    assert family_and_attributes(Answer(0xA0F, 0, 1, 1, b"\1\0\0\0" + be32(1, 7))) == (
        1,
        {1: b"\0\0\0\7"},
    )
    with pytest.raises(Malformed):
        family_and_attributes(Answer(0xA0F, 0, 1, 1, b"\1\0"))
