"""The tests that a plugin must pass: subclass, and give a ``bench``.

A bench is a :class:`acni.testing.PluginBench` of the plugin; there is a test for each rule::

    class TestMyPlugin(PluginContract):
        @pytest.fixture
        def bench(self):
            with PluginBench(VERBS, {"firstPort": 80}) as bench:
                yield bench

pytest's plugin ``acni.testing.pytest_plugin`` with ``--private-host`` keeps what the plugin does
away from the machine.
"""

from __future__ import annotations

from acni.testing.plugin_bench import PluginBench
from acni.testing.plugin_rules import PLUGIN_RULES, check_kills


class PluginContract:
    """What the specification asks of a plugin: a test for each of :data:`PLUGIN_RULES`, and one
    that kills it.

    Example:
        >>> class TestLoopback(testing.PluginContract):
        ...     pass
        >>> loopback = acni.BuiltIns().plugins["loopback"]
        >>> with testing.PluginBench(loopback, {}) as bench:
        ...     TestLoopback().test_p9_a_result_has_the_version_of_the_request(bench)
    """

    def test_p1_an_interface_name_that_is_taken_is_an_error(self, bench: PluginBench) -> None:
        PLUGIN_RULES["P1"].check(bench)

    def test_p2_what_was_there_before_is_in_the_result(self, bench: PluginBench) -> None:
        PLUGIN_RULES["P2"].check(bench)

    def test_p3_a_del_succeeds_whatever_is_missing(self, bench: PluginBench) -> None:
        PLUGIN_RULES["P3"].check(bench)

    def test_p3_a_del_undoes_an_add_that_was_killed(self, bench: PluginBench) -> None:
        check_kills(bench)

    def test_p4_a_check_finds_what_is_gone(self, bench: PluginBench) -> None:
        PLUGIN_RULES["P4"].check(bench)

    def test_p5_status_says_whether_an_add_would_succeed(self, bench: PluginBench) -> None:
        PLUGIN_RULES["P5"].check(bench)

    def test_p6_gc_frees_what_is_not_valid_and_nothing_else(self, bench: PluginBench) -> None:
        PLUGIN_RULES["P6"].check(bench)

    def test_p7_many_at_once_do_not_disturb_each_other(self, bench: PluginBench) -> None:
        PLUGIN_RULES["P7"].check(bench)

    def test_p8_the_address_plugin_is_asked_as_it_was_itself(self, bench: PluginBench) -> None:
        PLUGIN_RULES["P8"].check(bench)

    def test_p9_a_result_has_the_version_of_the_request(self, bench: PluginBench) -> None:
        PLUGIN_RULES["P9"].check(bench)

    def test_p10_an_error_is_one_that_a_runtime_reads(self, bench: PluginBench) -> None:
        PLUGIN_RULES["P10"].check(bench)

    def test_p11_what_cannot_be_acted_on_is_an_error(self, bench: PluginBench) -> None:
        PLUGIN_RULES["P11"].check(bench)

    def test_p12_it_works_in_a_chain(self, bench: PluginBench) -> None:
        PLUGIN_RULES["P12"].check(bench)
