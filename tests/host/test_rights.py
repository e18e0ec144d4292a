"""Whose network it is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.another_user import as_another_user, without_rights

pytestmark = pytest.mark.netns

HEAD = """
import os, sys
from acni.host.private_host import enter_private_host
from acni.host.rights import owns_network
from acni.host.user_namespace import enter_user_namespace
"""


def _says(script: str, *, user: str = "root") -> str:
    argv = [sys.executable, "-c", f"{HEAD}\n{script}"]
    argv = {"root": argv, "nobody": as_another_user(*argv), "bare": without_rights(*argv)}[user]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_root_owns_the_network_and_others_do_not() -> None:
    assert _says("print(owns_network())") == "True"
    assert _says("print(owns_network())", user="nobody") == "False"
    assert _says("print(owns_network())", user="bare") == "False"


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_whoever_made_a_private_host_owns_its_network(user: str) -> None:
    assert _says("enter_private_host(); print(owns_network())", user=user) == "True"


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_root_of_a_user_namespace_does_not_own_the_network_that_was_there_before(
    user: str,
) -> None:
    assert _says("enter_user_namespace(0); print(owns_network())", user=user) == "False"
