"""Which runs live, as each of several sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from acni.errors import StoreError
from acni.store.runs import Runs, open_runs


@pytest.fixture
def place(tmp_path: Path) -> str:
    (tmp_path / "acni").mkdir()
    return str(tmp_path)


@pytest.fixture
def both(place: str) -> Iterator[tuple[Runs, Runs]]:
    with open_runs(place) as one, open_runs(place) as other:
        yield one, other


def test_a_run_lives_until_it_is_closed(place: str) -> None:
    with open_runs(place) as looking:
        with open_runs(place) as run:
            container_id = run.begin()
            assert container_id != run.begin()
            assert not looking.is_left(container_id)
        assert looking.is_left(container_id)


def test_a_run_that_is_killed_is_left_at_once(place: str) -> None:
    program = """if True:
        import os, signal, sys
        from acni.store.runs import open_runs
        with open_runs(sys.argv[1]) as run:
            print(run.begin(), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    argv = [sys.executable, "-c", program, place]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=200, check=False)
    with open_runs(place) as looking:
        assert looking.is_left(done.stdout.strip()), done.stderr


@pytest.mark.parametrize(
    "container_id",
    ["c1", "acni-run-", "acni-run-mine", "acni-run-0123456789abcde", "acni-run-0123456789abcdef0"],
)
def test_what_no_run_would_be_called_is_nobody_elses_business(
    container_id: str, both: tuple[Runs, Runs]
) -> None:
    assert not both[0].is_left(container_id)


def test_a_network_is_shared_and_the_last_one_has_it_alone(both: tuple[Runs, Runs]) -> None:
    one, other = both
    assert one.join("net")
    assert other.join("net")
    assert not one.is_last("net")
    assert other.join("another")
    assert other.is_last("another")


def test_nobody_joins_a_network_that_is_being_taken_down(place: str) -> None:
    with ExitStack() as stack:
        one = stack.enter_context(open_runs(place))
        assert one.join("net")
        assert one.is_last("net")
        with open_runs(place) as other:
            assert not other.join("net")
            stack.close()
            assert other.join("net")


def test_its_file_is_its_owners_and_its_descriptor_not_inherited(place: str) -> None:
    with open_runs(place) as run:
        run.begin()
        file = Path(place, "acni", "runs")
        assert file.stat().st_mode & 0o777 == 0o600
        (fd,) = (link for link in Path("/proc/self/fd").iterdir() if _leads_to(link, file))
        assert not os.get_inheritable(int(fd.name))


def _leads_to(link: Path, file: Path) -> bool:
    try:
        return link.readlink() == file
    except FileNotFoundError:  # the one that lists
        return False


def test_a_file_that_cannot_be_had_is_a_store_error(tmp_path: Path, place: str) -> None:
    with pytest.raises(StoreError, match="cannot be opened"), open_runs(f"{tmp_path}/absent"):
        raise AssertionError("opened")
    (tmp_path / "acni" / "runs").symlink_to("/dev/null")
    with pytest.raises(StoreError, match="cannot be opened"), open_runs(place):
        raise AssertionError("opened")
