"""Who is compared in what: the cells of the comparison, and the order that a peer gets.

A cell is one situation: a plugin, how many operations at once, how long a chain. Its peers take
turns in every round. The counts are such that all cells together take some ten minutes on two
cores, and those of a quick run 90 seconds.
"""

from __future__ import annotations

from typing import Final, Literal

from attrs import evolve, frozen

Work = Literal[
    "churn", "hold", "records", "cold", "parts", "waterfall", "alone", "crowd", "turns", "rules"
]

LIBCNI: Final = "libcni"
FSYNC: Final = "libcni + fsync"
GO_CNI: Final = "go-cni"
FLOOR: Final = "spawn floor"
PROCESS: Final = ("acni, asyncio, process", "acni, trio, process")
POWER: Final = ("acni, asyncio, power", "acni, trio, power")
UVLOOP: Final = ("acni, uvloop, process", "acni, uvloop, power")
BUILT_IN: Final = ("acni, asyncio, power, built-in", "acni, trio, power, built-in")
ALONE: Final = "the built-in verb alone"
IDLE: Final = "a loop that does nothing"
RULES: Final = "a pod's rules alone"
COMMANDS: Final = ("acni command", "cold libcni", "python -c pass")
PARTS: Final = (
    "the engine",
    "the engine without locks",
    "the engine without limits",
    "the engine with an observer",
    "the engine with a trace",
)

# How many other pods are on the node, one after the other, where that is asked.
CROWDS: Final = (10, 100, 1000)

# Every plugin that is run, and what it is.
NOOP, GO_NOOP, SH_NOOP, SLEEPS, BRIDGE, EITHER, CHAIN, DOUBLE = (
    "no-op in C",
    "no-op in Go",
    "no-op in shell",
    "sleeps for 4 s",
    "Debian's bridge with host-local",
    "bridge with host-local",
    "bridge with ipMasq and host-local, portmap, firewall",
    "none, a double answers",
)


@frozen(kw_only=True)
class Cell:
    """A situation in which peers are compared.

    Attributes:
        group: By what name it is asked for.
        plugin: What each plugin of the chain is.
        at_once: How many operations are under way.
        chain_length: How many plugins the chain has.
        count: How many operations each peer does in a round.
        peers: Who takes turns.
        work: What they do.
        records: How many other records lie in the state directory.
        rounds: How often.
        is_whole: Whether its count is part of what is asked, so that no run does a share of it.
        is_quick: Whether a quick run has it.
    """

    group: str
    plugin: str
    at_once: int
    chain_length: int = 1
    count: int
    peers: tuple[str, ...]
    work: Work = "churn"
    records: int = 0
    rounds: int = 3
    is_whole: bool = False
    is_quick: bool = False


@frozen(kw_only=True)
class Order:
    """What a peer is told to do; it gets this as JSON.

    Attributes:
        peer: As whom.
        work: What.
        count: How often.
        at_once: By how many workers.
        warm_up: How often before that, unmeasured.
        chain: The file of the network configuration.
        plugin_dirs: Where plugins are looked for.
        state: The state or cache directory.
        netns: The namespaces that are attached.
        program: What a peer runs that measures commands.
    """

    peer: str
    work: Work
    count: int
    at_once: int
    warm_up: int
    chain: str
    plugin_dirs: tuple[str, ...]
    state: str
    netns: tuple[str, ...]
    program: str = ""


def cells(*, quick: bool = False, only: tuple[str, ...] = (), share: float = 1.0) -> list[Cell]:
    """List the cells of a run.

    Args:
        quick: Whether only those of a quick run are meant, with a third of the operations.
        only: The groups that are meant; all of them when there is none.
        share: How much of each cell's operations is done.
    """
    wanted = [
        cell for cell in _CELLS if (cell.is_quick or not quick) and (cell.group in only or not only)
    ]
    part = share / 3 if quick else share
    # As many operations as workers at least, and three rounds: less says nothing.
    return [
        evolve(
            cell,
            count=cell.count
            if cell.is_whole
            else max(round(cell.count * part), min(cell.count, cell.at_once)),
            rounds=3 if quick else cell.rounds,
        )
        for cell in wanted
    ]


def groups() -> list[str]:
    """List the groups of cells."""
    return list(dict.fromkeys(cell.group for cell in _CELLS))


def _grid(at_once: int, chain_length: int) -> Cell:
    beside = (GO_CNI, *UVLOOP) if chain_length == 1 else ()
    return Cell(
        group="throughput",
        plugin=NOOP,
        at_once=at_once,
        chain_length=chain_length,
        count=600 if chain_length == 1 else 300,
        peers=(LIBCNI, FSYNC, *PROCESS, *POWER, *beside),
        rounds=5 if chain_length == 1 else 3,
        is_quick=chain_length == 1,
    )


def _pods(
    at_once: int, work: Work, peers: tuple[str, ...], *, count: int = 24, rounds: int = 5
) -> Cell:
    return Cell(
        group="built-in",
        plugin=EITHER,
        at_once=at_once,
        count=count,
        peers=peers,
        work=work,
        rounds=rounds,
        is_whole=True,
        is_quick=work in ("churn", "alone"),
    )


def _chain(at_once: int) -> Cell:
    """Make a cell of the usual chain, of which Debian's plugins take some 0.3 s a pod."""
    return Cell(
        group="ports",
        plugin=CHAIN,
        at_once=at_once,
        chain_length=3,
        count=16,
        peers=(POWER[0], *BUILT_IN),
        is_whole=True,
        is_quick=True,
    )


_CELLS: Final = (
    *(_grid(at_once, chain_length) for chain_length in (1, 3) for at_once in (1, 8, 64)),
    Cell(
        group="plugins",
        plugin=GO_NOOP,
        at_once=8,
        count=400,
        peers=(FLOOR, LIBCNI, *PROCESS),
        rounds=5,
        is_quick=True,
    ),
    Cell(group="plugins", plugin=SH_NOOP, at_once=8, count=400, peers=(FLOOR, LIBCNI, *PROCESS)),
    Cell(group="floor", plugin=NOOP, at_once=8, count=600, peers=(FLOOR, LIBCNI, *PROCESS)),
    Cell(group="plugins", plugin=BRIDGE, at_once=8, count=48, peers=(LIBCNI, *PROCESS)),
    *(_pods(at_once, "churn", (POWER[0], *BUILT_IN)) for at_once in (1, 8)),
    _pods(1, "alone", (ALONE,)),
    # A bridge has 1,023 ports at most: so many more fit beside 1,000.
    _pods(1, "crowd", BUILT_IN, count=16, rounds=3),
    _pods(8, "turns", (IDLE, *BUILT_IN)),
    *(_chain(at_once) for at_once in (1, 8)),
    Cell(
        group="ports",
        plugin=CHAIN,
        at_once=1,
        chain_length=3,
        count=500,
        peers=(RULES,),
        work="rules",
        rounds=5,
        is_quick=True,
    ),
    Cell(
        group="hold",
        plugin=SLEEPS,
        at_once=1000,
        count=1000,
        peers=(LIBCNI, *PROCESS),
        work="hold",
    ),
    *(
        Cell(
            group="records",
            plugin=NOOP,
            at_once=1,
            count=300,
            peers=PROCESS,
            work="records",
            records=records,
            rounds=5,
        )
        for records in (10, 100_000)
    ),
    Cell(
        group="cold",
        plugin=NOOP,
        at_once=1,
        count=8,
        peers=COMMANDS,
        work="cold",
        rounds=5,
        is_quick=True,
    ),
    Cell(
        group="parts",
        plugin=DOUBLE,
        at_once=8,
        count=512,
        peers=PARTS,
        work="parts",
        rounds=5,
        is_quick=True,
    ),
    Cell(
        group="waterfall",
        plugin=BRIDGE,
        at_once=1,
        count=1,
        peers=PROCESS[:1],
        work="waterfall",
        is_quick=True,
    ),
)
