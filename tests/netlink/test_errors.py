"""The errors of a conversation with the kernel."""

from __future__ import annotations

import errno
import pickle

import pytest

from acni.netlink.errors import (
    DONE,
    LOST,
    AnswerLost,
    DumpInterrupted,
    Malformed,
    NetlinkError,
    NetlinkTimeout,
    NotSupported,
    Verdict,
    malformed,
    refusal,
)

KINDS = (NetlinkError, NotSupported, AnswerLost, NetlinkTimeout, DumpInterrupted, Malformed)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_keeps_its_facts_through_pickle(kind: type[NetlinkError]) -> None:
    verdicts = (DONE, Verdict(code=22, words="no", offset=20))
    error = kind(22, "no", index=1, offset=20, verdicts=verdicts)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
    assert type(again) is kind
    assert isinstance(again, OSError)
    assert (again.errno, again.words, again.index, again.offset) == (22, "no", 1, 20)
    assert again.verdicts == verdicts
    assert str(again) == str(error) == "[Errno 22] Invalid argument: no (message 1)"


def test_a_timeout_is_one_of_pythons_too() -> None:
    with pytest.raises(TimeoutError):
        raise NetlinkTimeout(errno.ETIMEDOUT)


@pytest.mark.parametrize(
    ("verdict", "kind"),
    [
        pytest.param(Verdict(code=errno.EEXIST), NetlinkError, id="refused"),
        pytest.param(Verdict(code=errno.EOPNOTSUPP), NotSupported, id="not supported"),
        pytest.param(LOST, AnswerLost, id="lost"),
        pytest.param(Verdict(code=errno.ENOBUFS), NetlinkError, id="no memory, said the kernel"),
    ],
)
def test_a_refusal_has_the_kind_of_its_verdict(verdict: Verdict, kind: type[NetlinkError]) -> None:
    error = refusal(1, [DONE, verdict])
    assert type(error) is kind
    assert (error.errno, error.index, error.verdicts) == (verdict.code, 1, (DONE, verdict))


def test_what_is_malformed_is_about_no_message() -> None:
    error = malformed("3 bytes")
    assert (error.errno, error.index, error.verdicts) == (errno.EBADMSG, None, ())
    assert str(error) == "[Errno 74] Bad message: 3 bytes"
