"""The loop that a test's id names is the loop it runs on."""

from __future__ import annotations

import asyncio

import anyio.lowlevel
import pytest
import trio


@pytest.mark.anyio
async def test_the_loop_is_the_one_in_the_id(
    request: pytest.FixtureRequest, anyio_backend_name: str
) -> None:
    await anyio.lowlevel.checkpoint()
    assert trio.lowlevel.in_trio_run() == (anyio_backend_name == "trio")
    if not trio.lowlevel.in_trio_run():
        assert asyncio.get_running_loop().is_running()
    assert anyio_backend_name in request.node.name
