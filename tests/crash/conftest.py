"""The shim and the plugin, compiled; a fork server; a tmpfs to strike on; and what ran, counted."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Final

import pytest
from attrs import evolve, frozen

from acni import netns
from acni.host.libc import mount, unmount
from tests.crash.disks import Disk, NoDiskError, mounted
from tests.crash.forkserver import LOOPS, ForkServer, serving
from tests.crash.hosts import Host, HostLane, Kept
from tests.crash.points import Pair
from tests.crash.scenarios import NETNS, Ground
from tests.crash.sweeps import ALL_CASES, HOST_CASES, WHOLE, Lane, Sample, Sweep
from tests.crash.world import copy_ground, make_ground

HERE: Final = Path(__file__).parent

# A run waits for half of its time: for the kernel to let go of a watch.
_LANES: Final = 2 * (os.cpu_count() or 1)

# What `--crash sample` strikes of each case: two to three minutes for all of them.
KILLS: Final = Sample(10)
FAILURES: Final = Sample(20)
CUTS: Final = Sample(6)


@frozen
class Compiled:
    """What is written in C.

    Attributes:
        shim: The library of fault points.
        plugin: The executable.
        linger: The library that leaves a child.
    """

    shim: Path
    plugin: Path
    linger: Path


MakeSweep = Callable[[str, str], Sweep]


@pytest.fixture(autouse=True)
def nothing_left_open(server: ForkServer) -> Iterator[None]:
    """In place of the other rooms' one: the fork server outlives a test, and looks itself at what a
    run leaves.
    """
    before = len(list(Path("/proc/self/fd").iterdir()))
    yield
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """Compile what is written in C."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("cannot run here: no C compiler")
    directory = tmp_path_factory.mktemp("compiled")
    made = Compiled(*(directory / name for name in ("faultpoints.so", "plugin", "linger.so")))
    options = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror"]
    has_pidfd_spawn = hasattr(ctypes.CDLL(None), "pidfd_spawn")
    options += ["-DHAS_PIDFD_SPAWN"] if has_pidfd_spawn else []
    for source, target, how in (
        ("faultpoints.c", made.shim, ["-shared", "-fPIC"]),
        ("linger.c", made.linger, ["-shared", "-fPIC"]),
        # Static: it starts in a third of the time.
        ("plugin.c", made.plugin, ["-static"]),
    ):
        command = [compiler, *options, *how, "-o", str(target), str(HERE / source)]
        subprocess.run(command, check=True, timeout=60)
    return made


@pytest.fixture(scope="session")
def room(tmp_path_factory: pytest.TempPathFactory, compiled: Compiled) -> Iterator[Path]:
    """A tmpfs with the plugin on it, and a container's namespace."""
    directory = tmp_path_factory.mktemp("room")
    mount("tmpfs", str(directory), "tmpfs", options="mode=0755")
    shutil.copy(compiled.plugin, directory / "plugin")
    name = Path(NETNS).name
    netns.create(name).close()
    yield directory
    netns.delete(name)
    unmount(str(directory))


@pytest.fixture(scope="session")
def servers(
    compiled: Compiled, room: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sequence[ForkServer]]:
    """Fork servers over the sources of this checkout."""
    log = tmp_path_factory.mktemp("server") / "log"
    with ExitStack() as started:
        servers = [started.enter_context(serving(compiled.shim, log)) for _ in range(_LANES)]
        for server in servers:
            warm(server, make_ground(Path(mkdtemp(dir=room)), room / "plugin"), room)
        yield servers


@pytest.fixture(scope="session")
def server(servers: Sequence[ForkServer]) -> ForkServer:
    """One of them."""
    return servers[0]


EVERY_CHAIN: Final = ("", *sorted({case.chain for case in HOST_CASES.values()}))


def warm(
    server: ForkServer,
    ground: Ground,
    room: Path,
    *,
    loops: Iterable[str] = LOOPS,
    chains: Iterable[str] = EVERY_CHAIN,
) -> None:
    """Let a server import whatever runs import, on these loops and of these chains."""
    empty = make_ground(Path(mkdtemp(dir=room)), room / "plugin")
    host = Host(f"warm{os.getpid()}")
    for loop, chain in product(loops, chains):
        copy_ground(empty, ground)
        host.renew()
        on_host = host.name if chain else ""
        server.warm(loop, evolve(ground, host=on_host, chain=chain), "add_and_delete")
    host.remove()


@pytest.fixture
def ground(room: Path) -> Iterator[Ground]:
    """A state directory that does not exist yet, and a world, on the tmpfs."""
    root = Path(mkdtemp(dir=room))
    yield make_ground(root, room / "plugin")
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def failed_whole() -> set[tuple[Pair, str]]:
    """The pairs that were failed with every error so far."""
    return set()


@pytest.fixture
def make_sweep(
    servers: Sequence[ForkServer], room: Path, failed_whole: set[tuple[Pair, str]]
) -> Iterator[MakeSweep]:
    """Make a sweep that knows its points."""
    with ExitStack() as rooms:

        def make_one() -> Ground:
            root = rooms.enter_context(TemporaryDirectory(dir=room))
            return make_ground(Path(root), room / "plugin")

        def make(case: str, loop: str) -> Sweep:
            lanes = [Lane(each, make_one(), make_one()) for each in servers]
            sweep = Sweep(case, loop, lanes, failed_whole=failed_whole)
            sweep.prepare()
            return sweep

        yield make


@pytest.fixture
def make_host_sweep(
    servers: Sequence[ForkServer], room: Path, failed_whole: set[tuple[Pair, str]]
) -> Iterator[MakeSweep]:
    """Make a sweep of built-in plugins, each lane of which has a host with links."""
    kept = Kept()
    with ExitStack() as rooms:

        def make_lane(number: int, server: ForkServer, chain: str) -> HostLane:
            root = Path(rooms.enter_context(TemporaryDirectory(dir=room)))
            empty = make_ground(root / "ground", room / "plugin")
            ground = evolve(empty, host=f"crash{number}", chain=chain)
            rooms.callback(Host(ground.host).remove)
            return HostLane(server, ground, make_ground(root / "empty", room / "plugin"), kept)

        def make(case: str, loop: str) -> Sweep:
            chain = ALL_CASES[case].chain
            lanes = [make_lane(number, each, chain) for number, each in enumerate(servers)]
            sweep = Sweep(case, loop, lanes, failed_whole=failed_whole)
            sweep.prepare()
            return sweep

        yield make


@pytest.fixture(params=["ext4", "xfs"])
def disk(request: pytest.FixtureRequest, room: Path) -> Iterator[Disk]:
    """A file system whose power can be cut; its image lies in memory."""
    directory = Path(mkdtemp(dir=room))
    try:
        with mounted(request.param, directory) as made:
            yield made
    except NoDiskError as error:
        pytest.skip(f"cannot run here: {error}")
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def how_much(pytestconfig: pytest.Config) -> Callable[[Sample], Sample]:
    """Return the sample, or all where that was asked for."""
    return lambda sample: WHOLE if pytestconfig.getoption("--crash") == "whole" else sample


@pytest.fixture
def require_sound(count: Callable[[object], None]) -> Callable[[Sweep], None]:
    """Count what was struck, and fail on what was found."""

    def require(sweep: Sweep) -> None:
        count(sweep)
        assert not sweep.findings, "\n\n".join(map(str, (sweep, *sweep.findings)))

    return require
