"""The names of the specification's package, loaded when they are first asked for."""

from __future__ import annotations

from types import ModuleType

import pytest

from acni import spec


def test_what_is_listed_is_there_and_is_no_module() -> None:
    assert dir(spec) == sorted(spec.__all__)
    for name in spec.__all__:
        assert not isinstance(getattr(spec, name), ModuleType)


def test_a_name_that_it_has_not_is_refused_as_by_any_module() -> None:
    with pytest.raises(AttributeError, match=r"'acni\.spec' has no attribute 'nothing'"):
        getattr(spec, "nothing")  # noqa: B009 (asked for by a name that nobody has)
