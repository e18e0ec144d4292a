import subprocess
import sys


def run(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_process_ends_with_the_status_of_the_command_and_what_it_wrote_is_there() -> None:
    program = "from acni.__main__ import main; main()"
    done = run(program, "completion", "bash")
    assert done.returncode == 0
    assert "acni" in done.stdout
    refused = run(program, "inspect", "not/a/name")
    assert refused.returncode == 2
    assert refused.stderr.startswith("acni: ")


def test_nothing_is_taken_down_at_the_end() -> None:
    program = "import atexit; atexit.register(print, 'taken down')\n"
    program += "from acni.__main__ import main; main()"
    assert "taken down" not in run(program, "completion", "bash").stdout


def test_a_thread_that_works_for_somebody_is_waited_for() -> None:
    """Here until its input ends, which it does once the command has printed something."""
    program = """
import sys, threading
from acni.__main__ import main

def work():
    sys.stdin.read()
    print("worked", flush=True)

threading.Thread(target=work).start()
main()
"""
    argv = [sys.executable, "-c", program, "completion", "bash"]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdin.close()
        assert "worked\n" in process.stdout.read()


def test_what_was_printed_before_an_interrupt_is_there() -> None:
    """Standard output is a pipe here, and is written when there is enough."""
    program = """
import sys
from acni import __main__

def command():
    sys.stdout.reconfigure(line_buffering=False, write_through=False)
    print("attached")
    return 130

__main__.command = command
__main__.main()
"""
    done = run(program)
    assert (done.returncode, done.stdout) == (130, "attached\n")


def test_a_closed_standard_error_is_none_of_its_concern() -> None:
    program = "import os, sys; sys.stderr.close(); sys.stderr = None\n"
    program += "from acni.__main__ import main; main()"
    assert run(program, "completion", "bash").returncode == 0
