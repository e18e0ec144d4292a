"""A file that is a whole document whenever nobody writes."""

from __future__ import annotations

import errno
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from acni import ConfigError
from acni.observe.tracefile import TraceFile

FIRST = {"ph": "M", "name": "process_name"}


def create(path: Path) -> TraceFile:
    return TraceFile.create(str(path), about={"program": "acni"}, first=FIRST)


def events_of(path: Path) -> list[dict[str, Any]]:
    document = json.loads(path.read_text())
    assert document["otherData"] == {"program": "acni"}
    events: list[dict[str, Any]] = document["traceEvents"]
    return events


def test_it_is_whole_after_every_event(path: Path) -> None:
    path.write_text("something longer than what comes, which is no JSON" * 100)
    file = create(path)
    assert events_of(path) == [FIRST]
    for number in range(5):
        file.add([{"n": number}, {"m": number}])
        assert len(events_of(path)) == 3 + 2 * number
    file.add([])
    file.close()
    file.close()
    file.add([{"n": 7}])
    assert events_of(path)[-1] == {"m": 4}


def test_a_name_cannot_break_it(path: Path) -> None:
    file = create(path)
    file.add([{"name": 'a"]}\n\\\udc80\0'}])
    file.close()
    assert events_of(path)[1]["name"] == 'a"]}\n\\\udc80\0'


@contextmanager
def no_file_over(size: int) -> Iterator[None]:
    """Let this process write no file further than that, as a disk that is full does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_cannot_be_written_is_the_last_that_is_tried(path: Path) -> None:
    file = create(path)
    file.add([{"n": 1}])
    # Half of the next event could be written.
    with no_file_over(path.stat().st_size + 40):
        file.add([{"n": "x" * 100}])
    assert file.failure is not None
    assert file.failure.errno == errno.EFBIG
    assert events_of(path)[1:] == [{"n": 1}]
    file.add([{"n": 2}])
    file.close()
    assert events_of(path)[1:] == [{"n": 1}]


def test_one_that_takes_not_even_its_beginning_is_refused(path: Path) -> None:
    with no_file_over(10), pytest.raises(ConfigError, match="File too large") as caught:
        create(path)
    assert caught.value.place == "trace"


def directory(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/full")


def nowhere(path: Path) -> None:
    path.symlink_to(path.parent / "missing" / "trace.json")


@pytest.mark.parametrize("make", [directory, pipe, device, nowhere])
def test_what_is_no_file_is_refused(make: Any, path: Path) -> None:
    make(path)
    with pytest.raises(ConfigError, match="cannot be written") as caught:
        create(path)
    assert (caught.value.place, caught.value.exit_status) == ("trace", 2)


def test_a_pipe_with_a_reader_is_refused_too(path: Path) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(ConfigError, match="no regular file"):
            create(path)
    finally:
        os.close(reader)


def test_no_name_of_a_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="null"):
        create(Path("a\0b"))
