"""The checks of acni, one session each; `.ci/run` runs all but `mutation`, `crash`, `soak` and
`bench`.
"""

import re
import shutil
import tempfile
from pathlib import Path

import nox

PYPROJECT = nox.project.load_toml("pyproject.toml")
PROJECT = PYPROJECT["project"]
PYTHONS = nox.project.python_versions(PYPROJECT)
# Sphinx 9.1 and later need Python 3.12.
DOCS_PYTHON = PYTHONS[-1] if shutil.which(f"python{PYTHONS[-1]}") else None
FIRST_PYTHON = next(filter(shutil.which, map("python{}".format, PYTHONS)), "python")
NOT_DEEP = ("--crash=none", "-m", "not deep")
# What the last Python has run whole: fewer examples, each test on one of the loops.
THIN = (*NOT_DEEP, "--hypothesis-profile=thin", "--loops=one")
REPORTS = Path(".nox/reports").resolve()
_AWAITS = re.compile(r"async|anyio|trio")

nox.options.default_venv_backend = "uv|virtualenv"
# Not mutation, crash, soak and bench: they take long, and are for whoever changes a rule, the
# store, or what runs plugins.
# The crashes have sessions of their own: their fork server is a child that other tests would find.
nox.options.sessions = [
    "lint",
    "types",
    f"tests-{PYTHONS[-1]}",
    "coverage",
    "deep",
    "crash-sample",
    "docs",
    "package",
]
# An interpreter that is missing is reported, not fetched; with CI set it is a failure.
nox.options.download_python = "never"


def junit_report(session: nox.Session) -> str:
    """Return the pytest option that leaves the results where `.ci/summary.py` finds them."""
    return f"--junitxml={REPORTS / session.name}.xml"


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting, async mistakes, direction of imports, spelling, changelog fragments."""
    session.install("--group", "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    sources = (path for room in ("src", "tests") for path in sorted(Path(room).rglob("*.py")))
    # It takes a third of a second for each; in most there is nothing that it could find.
    awaiting = [str(path) for path in sources if _AWAITS.search(path.read_text())]
    session.log("flake8-async")
    session.run("flake8-async", "--anyio", *awaiting, log=False)
    session.run("lint-imports", "--no-logo", env={"PYTHONPATH": "src"})
    session.run("codespell")
    session.run("towncrier", "build", "--draft", "--version", PROJECT["version"])


@nox.session
def types(session: nox.Session) -> None:
    """Mypy on sources and tests, pyright on sources, and all public names typed."""
    session.install("-e.[trio]", "--group", "typing")
    session.run("mypy")
    session.run("pyright")
    session.run("pyright", "--verifytypes", "acni", "--ignoreexternal")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests; arguments after `--` go to pytest."""
    session.install("-e.[trio]", "--group", "test")
    session.run("pytest", *NOT_DEEP, junit_report(session), *session.posargs)


@nox.session(python=PYTHONS[-1])
def coverage(session: nox.Session) -> None:
    """The specification's tests reach every line and branch of it: pure functions have no excuse.

    `-- tests` tells of everything, in half an hour.
    """
    session.install("-e.[trio]", "--group", "test")
    rooms = session.posargs or ["tests/spec"]
    session.run("coverage", "run", "-m", "pytest", *NOT_DEEP, *rooms)
    if session.posargs:
        session.run("coverage", "report")
    session.run("coverage", "report", "--include=*/acni/spec/*", "--fail-under=100")


@nox.session(python=PYTHONS[-1])
def deep(session: nox.Session) -> None:
    """Sweeps, searches and soaks; arguments after `--` go to pytest."""
    session.install("-e.[trio]", "--group", "test")
    pytest = ("pytest", "--crash=none", "-m", "deep", junit_report(session))
    session.run(*pytest, *session.posargs)


@nox.session
def crash(session: nox.Session) -> None:
    """A runtime killed, failed and cut off at every call it makes; half an hour. `-- -k kill`."""
    session.install("-e.[trio]", "--group", "test", "uvloop")
    rooms = ("tests/crash", "tests/store")
    session.run("pytest", "--crash=whole", *rooms, junit_report(session), *session.posargs)


@nox.session(name="crash-sample", python=PYTHONS[-1])
def crash_sample(session: nox.Session) -> None:
    """A sample of that, in two minutes."""
    session.install("-e.[trio]", "--group", "test", "uvloop")
    session.run("pytest", "--crash=sample", "tests/crash", junit_report(session), *session.posargs)


@nox.session(python=PYTHONS[-1])
def soak(session: nox.Session) -> None:
    """As many ADDs and DELs as a day has seconds, on both loops; an hour. `-- --cycles 20000`."""
    session.install("-e.[trio]", "--group", "test")
    for loop in ("asyncio", "trio"):
        session.run("python", "-m", "tests.soak.soak", "--loop", loop, *session.posargs)


@nox.session(python=PYTHONS[-1])
def bench(session: nox.Session) -> None:
    """Beside libcni and others, in ten minutes, as root; `-- quick` in 90 seconds, `-- --write`."""
    session.install("-e.[trio]", "--group", "bench")
    session.run("python", "benchmarks/compare.py", *session.posargs)


@nox.session
def mutation(session: nox.Session) -> None:
    """Every rule of the specification broken once: its tests must notice. `-- R34` takes one."""
    session.install("-e.[trio]", "--group", "test")
    session.run("python", "-m", "tests.mutation", *session.posargs)


@nox.session(python=DOCS_PYTHON)
def docs(session: nox.Session) -> None:
    """The documentation, where every reference resolves and every doctest passes."""
    session.install("-e.[trio]", "--group", "docs")
    for builder in ("html", "doctest"):
        session.run("sphinx-build", "-nWE", "-b", builder, "docs", f"docs/_build/{builder}")


@nox.session
def package(session: nox.Session) -> None:
    """The wheel as users get it: built, checked, and tested on the first Python with the oldest
    dependencies allowed.

    It is installed in an environment outside the checkout and meets the tests of the sdist there.
    """
    session.install("--group", "package")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", silent=True)
    (wheel,) = Path("dist").resolve().glob("*.whl")
    (sdist,) = Path("dist").resolve().glob("*.tar.gz")
    session.run("twine", "check", "--strict", str(wheel), str(sdist))
    session.run("check-wheel-contents", str(wheel))

    declared = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["trio"]]
    oldest = [requirement.replace(">=", "==") for requirement in declared]
    test_group = nox.project.dependency_groups(PYPROJECT, "test")
    with tempfile.TemporaryDirectory(prefix="acni-package-") as directory:
        Path(directory).chmod(0o755)  # some tests run it as another user
        session.run(FIRST_PYTHON, "-m", "venv", f"{directory}/venv", external=True)
        python = f"{directory}/venv/bin/python"
        pip_install = (python, "-m", "pip", "install", "--quiet")
        session.run(*pip_install, f"{wheel}[trio]", *oldest, *test_group, external=True)
        session.run("tar", "-xf", str(sdist), "-C", directory, external=True)
        with session.chdir(f"{directory}/{sdist.name.removesuffix('.tar.gz')}"):
            shutil.rmtree("src")
            session.run(f"{directory}/venv/bin/acni", "--version", external=True)
            session.run(f"{directory}/venv/bin/acni", "demo", external=True)
            # What is old may be deprecated by what is new: -W default.
            pytest = ("pytest", "-W", "default", *THIN)
            session.run(python, "-m", *pytest, junit_report(session), external=True)
