"""What libcni's own tests fix, row by row, and what acni has for each: a test, an intended
difference, or what will bring it.

The rows are those of libcni's tests of August 2026 (commit 3f51e88) that bind a runtime: A are
``libcni/api_test.go``, C ``libcni/conf_test.go``, B ``libcni/backwards_compatibility_test.go``, S
``pkg/skel``, I ``pkg/invoke``, V the smaller suites of data (version, types, utils).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from attrs import frozen


@frozen
class Proof:
    """Tests of ours that prove a row: ``path::function``, below ``tests/``."""

    tests: tuple[str, ...]


@frozen
class Differs:
    """Acni decides otherwise, on purpose."""

    reason: str
    tests: tuple[str, ...] = ()


@frozen
class Row:
    """One or more cases of libcni's tests.

    Attributes:
        cases: Their numbers: ``A1``, ``A3-A5`` and several of these.
        words: What they fix.
        ours: What acni has for them.
    """

    cases: str
    words: str
    ours: Proof | Differs

    def ids(self) -> Iterator[str]:
        """Iterate over the numbers, ranges written out."""
        for part in self.cases.split():
            first, _, last = part.partition("-")
            letter, number = first[0], int(first[1:])
            until = int(last[1:]) if last else number
            yield from (f"{letter}{each}" for each in range(number, until + 1))


def proof(*tests: str) -> Proof:
    return Proof(tests)


def differs(reason: str, *tests: str) -> Differs:
    return Differs(reason, tests)


REQUEST: Final = "spec/test_request.py"
RESPONSE: Final = "spec/test_response.py"
RESULT: Final = "spec/test_result.py"
CONFIGURATION: Final = "spec/test_configuration.py"
NAMES: Final = "spec/test_names.py"
PLAN: Final = "spec/test_plan.py"
VERSIONS: Final = "spec/test_versions.py"
FILES: Final = "host/test_configurations.py"
PLUGINS: Final = "host/test_plugins.py"
PROCESS: Final = "host/test_process.py"
ADD: Final = "engine/test_add.py"
DELETE: Final = "engine/test_delete.py"
CHECK: Final = "engine/test_check.py"
RUNTIME: Final = "engine/test_runtime.py"
STATE: Final = "store/test_state.py"
RECORD: Final = "store/test_record.py"
ROWS: Final = "libcni/test_rows.py"
REQUESTS: Final = "libcni/test_requests.py"
DIFFERENCES: Final = "libcni/test_differences.py"
ROUND_TRIPS: Final = "libcni/test_round_trips.py"

VALIDATES: Final = "engine/test_validate.py"
STATUSES: Final = "engine/test_status.py"
COLLECTS: Final = "engine/test_gc.py"
ASKED: Final = proof(
    f"{STATUSES}::test_every_plugin_is_asked_with_all_variables_and_no_attachment",
    f"{STATUSES}::test_the_first_that_is_not_ready_ends_it",
)
VERSION: Final = proof(
    f"{VALIDATES}::test_a_plugin_is_asked_as_the_oldest_ones_expect",
    f"{VALIDATES}::test_an_answer_is_read_as_the_plugin_gives_it",
    f"{VALIDATES}::test_no_answer_is_a_typed_error",
)
VALIDATE: Final = proof(
    f"{VALIDATES}::test_a_good_network_has_no_failures",
    f"{VALIDATES}::test_every_failure_is_listed_and_every_dropped_key_is_named",
)
CONVERSION: Final = proof(
    f"{ROWS}::test_a_recorded_result_of_the_same_shape_is_sent_in_the_selected_version",
    f"{ROWS}::test_a_result_that_libcni_recorded_in_another_version_is_converted",
    f"{ROUND_TRIPS}::test_acni_deletes_a_record_whose_result_has_another_version",
)
GC: Final = proof(
    f"{COLLECTS}::test_what_nobody_keeps_is_deleted_and_then_the_plugins_collect",
    f"{COLLECTS}::test_a_network_that_disables_gc_is_left_alone",
)

NOT_OURS: Final = Differs("acni has no such function to call")

API: Final = (
    Row(
        "A1",
        "a plugin gets the arguments of the capabilities it declares true, and of no others",
        proof(f"{REQUEST}::test_runtime_config_has_the_declared_capabilities_that_were_given"),
    ),
    Row(
        "A2",
        "without such an argument there is no runtimeConfig",
        proof(f"{REQUEST}::test_runtime_config_has_the_declared_capabilities_that_were_given"),
    ),
    Row(
        "A3",
        "validating a plugin tells the capabilities declared true",
        proof(f"{CONFIGURATION}::test_the_capabilities_declared_true_are_known"),
    ),
    Row(
        "A4",
        "an ADD, and a record of all that it was given and returned",
        proof(
            f"{ADD}::test_the_record_is_libcnis_with_one_key_more",
            f"{ROUND_TRIPS}::test_libcni_reads_what_acni_recorded",
            f"{REQUESTS}::test_both_ask_the_same",
        ),
    ),
    Row(
        "A5",
        "an ADD names a plugin that is missing",
        proof(f"{ADD}::test_every_executable_is_looked_for_before_anything_runs"),
    ),
    Row(
        "A6",
        "what a plugin says of its failed ADD is what the caller reads",
        proof(f"{RESPONSE}::test_what_a_failed_plugin_said_is_found"),
    ),
    Row(
        "A7",
        "an ADD fails where the place of the records is a file",
        differs(
            "nothing runs, or it is undone; libcni leaves the attachment",
            f"{ROWS}::test_a_state_directory_whose_results_are_a_file_is_refused",
            f"{ROWS}::test_results_that_become_a_file_undo_an_add",
        ),
    ),
    Row(
        "A8",
        "a CHECK with what the cache of older libcni held: the result alone",
        differs(
            "a check needs configuration and arguments of a record; a bare result has none (R18)",
            f"{ROWS}::test_a_bare_result_cannot_be_checked",
        ),
    ),
    Row(
        "A9",
        "a CHECK names a plugin that is missing",
        proof(f"{ROWS}::test_a_check_names_the_plugin_that_is_missing"),
    ),
    Row(
        "A10",
        "a failed CHECK says what the plugin said",
        proof(f"{RESPONSE}::test_a_check_that_fails_found_a_difference"),
    ),
    Row(
        "A11",
        "below 0.4.0 there is no CHECK",
        proof(f"{CHECK}::test_a_version_without_check_is_refused"),
    ),
    Row(
        "A12",
        "no key of the cache file reaches a plugin",
        proof(f"{ROWS}::test_a_request_has_a_configurations_keys_and_no_records"),
    ),
    Row(
        "A13",
        "from 0.4.0 on a CHECK carries the result",
        proof(f"{PLAN}::test_a_plan_says_who_runs_when_and_who_gets_a_previous_result"),
    ),
    Row(
        "A14 A16",
        "a recorded result that is none fails a CHECK",
        proof(f"{ROWS}::test_a_check_does_not_send_a_recorded_result_that_is_none"),
    ),
    Row("A15", "a recorded result of an older version is converted for a CHECK", CONVERSION),
    Row(
        "A17",
        "a DEL with what the cache of older libcni held; nothing stays recorded",
        proof(f"{DELETE}::test_a_bare_result_as_libcni_once_wrote_it_is_the_result"),
    ),
    Row(
        "A18",
        "a DEL names a plugin that is missing",
        proof(f"{DELETE}::test_a_delete_halts_at_a_plugin_that_is_missing"),
    ),
    Row(
        "A19",
        "a failed DEL says what the plugin said",
        proof(f"{DELETE}::test_a_delete_halts_at_the_plugin_that_fails_and_resumes_there"),
    ),
    Row(
        "A20",
        "a DEL can be repeated",
        proof(f"{ROWS}::test_a_delete_can_be_repeated"),
    ),
    Row(
        "A21",
        "below 0.4.0 a DEL carries no result",
        proof(f"{ROWS}::test_before_0_4_0_a_delete_sends_no_result"),
    ),
    Row("A22 A24", "a recorded result of an older version is converted for a DEL", CONVERSION),
    Row(
        "A23 A25",
        "a recorded result that is none does not keep a DEL from running",
        proof(f"{ROWS}::test_a_delete_goes_on_without_a_recorded_result_that_is_none"),
    ),
    Row("A26 A27", "a plugin's versions as it lists them; a missing plugin is named", VERSION),
    Row("A28-A31", "a plugin is validated: there, and of the configuration's version", VALIDATE),
    Row(
        "A32",
        "a chain hands results on; all plugins see one environment, each its own configuration",
        proof(
            f"{ADD}::test_a_chain_runs_in_order_and_each_gets_its_predecessors_result",
            f"{REQUEST}::test_every_plugin_of_a_chain_gets_the_same_environment",
            f"{REQUEST}::test_each_plugin_gets_its_own_capabilities_only",
            f"{REQUESTS}::test_both_ask_the_same",
        ),
    ),
    Row(
        "A33 A34",
        "the record of a chain has result, configuration and arguments",
        differs(
            "the configuration is the effective one: drop-ins inlined, one version (design, 1)",
            f"{ADD}::test_the_record_is_libcnis_with_one_key_more",
            f"{ROUND_TRIPS}::test_libcni_reads_what_acni_recorded",
        ),
    ),
    Row(
        "A35",
        "a plugin missing in the middle of a chain is named",
        differs(
            "every plugin is looked for before the first runs (R32)",
            f"{DIFFERENCES}::test_a_missing_plugin_is_missed_before_anything_runs",
        ),
    ),
    Row(
        "A36 A37",
        "container IDs and network names that are none are refused",
        proof(
            f"{NAMES}::test_a_bad_container_id_is_refused",
            f"{NAMES}::test_a_bad_network_name_is_refused",
        ),
    ),
    Row(
        "A38-A44",
        "interface names that Linux does not take are refused",
        proof(f"{NAMES}::test_a_bad_interface_name_is_refused"),
    ),
    Row(
        "A45 A46",
        "a chain that fails in the middle says why and records nothing",
        proof(
            f"{ADD}::test_a_failure_undoes_the_whole_chain_in_reverse",
            f"{DIFFERENCES}::test_a_failed_add_is_undone",
        ),
    ),
    Row(
        "A47",
        "an ADD of a chain fails where the place of the records is a file",
        differs(
            "nothing runs, or it is undone; libcni leaves the attachment",
            f"{ROWS}::test_a_state_directory_whose_results_are_a_file_is_refused",
            f"{ROWS}::test_results_that_become_a_file_undo_an_add",
        ),
    ),
    Row(
        "A48",
        "a CHECK asks every plugin with the final result",
        proof(
            f"{CHECK}::test_every_plugin_is_asked_in_order_with_the_final_result",
            f"{REQUESTS}::test_both_ask_the_same",
        ),
    ),
    Row(
        "A49",
        "disableCheck: success, and nothing runs",
        proof(f"{CHECK}::test_disabled_checks_succeed_and_run_nothing"),
    ),
    Row(
        "A50",
        "the first plugin is checked with the final result too",
        proof(f"{ROWS}::test_the_first_plugin_gets_the_final_result"),
    ),
    Row(
        "A51",
        "that a version has no CHECK can be told from other errors",
        proof(f"{CHECK}::test_a_version_without_check_is_refused"),
    ),
    Row(
        "A52",
        "a CHECK of a chain names a plugin that is missing",
        proof(f"{ROWS}::test_a_check_names_the_plugin_that_is_missing"),
    ),
    Row(
        "A53",
        "a CHECK of a chain halts at the plugin that fails",
        proof(f"{CHECK}::test_a_check_halts_at_the_first_error_and_changes_nothing"),
    ),
    Row(
        "A54",
        "a recorded result that is none fails a CHECK of a chain",
        proof(f"{ROWS}::test_a_check_does_not_send_a_recorded_result_that_is_none"),
    ),
    Row(
        "A55",
        "without a record a DEL runs what the caller has configured",
        differs(
            "a prevResult in the configuration is dropped (R39)",
            f"{DELETE}::test_what_no_record_knows_is_deleted_with_the_callers_word",
            f"{REQUESTS}::test_each_difference_is_intended",
        ),
    ),
    Row(
        "A56",
        "from 0.4.0 on the first plugin's DEL carries the final result too",
        proof(f"{ROWS}::test_the_first_plugin_gets_the_final_result"),
    ),
    Row(
        "A57",
        "below 0.4.0 no plugin's DEL carries a result",
        proof(f"{ROWS}::test_before_0_4_0_a_delete_sends_no_result"),
    ),
    Row(
        "A58",
        "a DEL of a chain names a plugin that is missing",
        proof(f"{DELETE}::test_a_delete_halts_at_a_plugin_that_is_missing"),
    ),
    Row(
        "A59",
        "a DEL of a chain halts at the plugin that fails",
        proof(f"{DELETE}::test_a_delete_halts_at_the_plugin_that_fails_and_resumes_there"),
    ),
    Row(
        "A60",
        "a record that is none does not keep a DEL of a chain from running",
        proof(f"{DELETE}::test_a_file_that_is_no_record_stops_no_delete_that_has_a_configuration"),
    ),
    Row("A61 A62", "a chain is validated: all capabilities, every error", VALIDATE),
    Row("A63", "GC: not where it is disabled, stale attachments first, then the verb", GC),
    Row("A64 A65", "STATUS of a chain: halts at the plugin that is not ready", ASKED),
    Row(
        "A66-A74",
        "a plugin that sleeps is out of time: ADD, DEL, CHECK; VERSION too",
        proof(
            f"{ROWS}::test_a_plugin_that_sleeps_is_out_of_time",
            f"{DELETE}::test_a_delete_out_of_time_is_owed",
        ),
    ),
    Row(
        "A75",
        "a container with two interfaces on a network has two records",
        proof(f"{ROWS}::test_one_container_may_have_two_interfaces_on_a_network"),
    ),
    Row(
        "A76-A79",
        "asking the cache with half an identity",
        differs(
            "an identity is parsed when it is made: there is no half of one",
            "spec/test_attachment.py::test_an_identity_is_parsed_too",
        ),
    ),
    Row(
        "A80 A81",
        "a record that is rubbish is an error, one that is not there is none",
        proof(
            f"{RECORD}::test_what_is_no_record_is_a_typed_error_that_names_the_file",
            f"{STATE}::test_a_record_is_written_read_found_and_retired",
        ),
    ),
)

CONFIGURATIONS: Final = (
    Row(
        "C1 C3",
        "a network of one plugin is found in .conf and .json files",
        proof(f"{FILES}::test_every_network_is_loaded_by_its_name"),
    ),
    Row(
        "C2 C14",
        "a missing directory is told from a missing network",
        proof(f"{FILES}::test_a_directory_that_cannot_be_listed_is_an_error"),
    ),
    Row(
        "C4 C15",
        "a missing network is named, with the directory",
        proof(f"{FILES}::test_an_empty_directory_has_no_network"),
    ),
    Row(
        "C5 C16",
        "a broken file that comes first",
        differs(
            "it stops its own network alone, and is named (R5)",
            f"{FILES}::test_a_broken_file_is_reported_and_stops_no_other",
        ),
    ),
    Row(
        "C6 C17",
        "directories inside the directory are not searched",
        proof(f"{ROWS}::test_a_directory_in_the_configuration_directory_is_not_searched"),
    ),
    Row(
        "C7",
        "capabilities are read, those declared false too",
        proof(f"{CONFIGURATION}::test_the_capabilities_declared_true_are_known"),
    ),
    Row(
        "C8 C31",
        "a file that cannot be opened is named",
        proof(f"{FILES}::test_a_broken_file_is_reported_and_stops_no_other"),
    ),
    Row(
        "C9 C10",
        "a plugin needs a type",
        proof(f"{CONFIGURATION}::test_a_configuration_of_one_plugin_needs_a_name_and_a_type"),
    ),
    Row(
        "C11",
        "a list is read: name, version, plugins in order, flags",
        proof(f"{CONFIGURATION}::test_a_list_is_read"),
    ),
    Row(
        "C12",
        "a list comes before a file of one plugin with its name",
        proof(f"{FILES}::test_of_files_with_one_name_the_first_wins"),
    ),
    Row(
        "C13 C45",
        "a file of one plugin becomes a list, which reads the same again",
        proof(
            f"{CONFIGURATION}::test_a_configuration_of_one_plugin_becomes_a_list",
            f"{CONFIGURATION}::test_the_effective_configuration_is_stable",
        ),
    ),
    Row(
        "C18-C20",
        "disableCheck may be text, but not any",
        proof(
            f"{CONFIGURATION}::test_disable_check_is_a_flag_or_text",
            f"{CONFIGURATION}::test_disable_check_is_nothing_else",
        ),
    ),
    Row(
        "C21-C23",
        "loadOnlyInlinedPlugins is a flag, false where it is absent",
        proof(
            f"{CONFIGURATION}::test_a_list_can_forbid_drop_ins",
            f"{CONFIGURATION}::test_drop_ins_are_appended_in_their_order",
            f"{CONFIGURATION}::test_a_wrong_type_names_its_json_path",
        ),
    ),
    Row(
        "C24",
        "a list that wants its own plugins only needs some",
        proof(f"{CONFIGURATION}::test_a_list_that_forbids_drop_ins_needs_plugins"),
    ),
    Row(
        "C25",
        "a list may have drop-ins alone",
        proof(f"{FILES}::test_a_list_may_live_of_drop_ins_alone"),
    ),
    Row(
        "C26",
        "a list without any plugin is none",
        proof(f"{CONFIGURATION}::test_a_list_without_any_plugin_is_refused"),
    ),
    Row(
        "C27 C28",
        "a list needs no drop-ins",
        proof(f"{ROWS}::test_a_list_needs_no_drop_ins"),
    ),
    Row(
        "C29 C30",
        "drop-ins are appended, unless the list forbids them",
        proof(
            f"{FILES}::test_drop_ins_are_appended_in_the_order_of_their_names",
            f"{FILES}::test_a_list_that_wants_only_its_own_plugins_does_not_even_read_others",
        ),
    ),
    Row("C32-C34", "what cannot be injected into a configuration is an error", NOT_OURS),
    Row(
        "C35-C38",
        "after an injection the typed view and the text agree",
        differs(
            "configurations are not changed: a request is joined from texts (design, 7)",
            f"{CONFIGURATION}::test_values_survive_the_effective_configuration_and_a_second_parse",
        ),
    ),
    Row(
        "C39 C43",
        "the highest version that is offered is selected, in whatever order",
        proof(
            f"{CONFIGURATION}::test_a_version_is_selected",
            f"{VERSIONS}::test_the_order_of_the_offer_does_not_matter",
        ),
    ),
    Row(
        "C40",
        "versions newer than ours are skipped",
        proof(f"{VERSIONS}::test_the_highest_supported_version_is_selected"),
    ),
    Row(
        "C41",
        "what is no version is an error",
        proof(f"{VERSIONS}::test_what_is_no_version_is_an_error"),
    ),
    Row(
        "C42",
        "a version alone that nobody released",
        differs(
            "it is refused, not used as it is (R9)",
            f"{VERSIONS}::test_nothing_supported_is_an_error_that_names_what_was_offered",
        ),
    ),
    Row(
        "C44",
        "nothing offered is the empty version, which counts as 0.1.0",
        proof(f"{CONFIGURATION}::test_a_version_is_selected"),
    ),
)

BACKWARDS: Final = (
    Row(
        "B1",
        "a plugin of the first library: no version in the result, a result on DEL too",
        proof(f"{ROWS}::test_a_plugin_that_prints_a_result_on_del_succeeds"),
    ),
)

SKEL: Final = (
    Row(
        "S10 S17",
        "ADD and CHECK need all variables but CNI_ARGS, CNI_PATH not empty",
        proof(
            f"{REQUEST}::test_all_six_variables_are_always_there_and_nothing_else",
            f"{REQUEST}::test_the_variables_say_what_the_runtime_was_given",
        ),
    ),
    Row(
        "S26 S35 S38",
        "DEL may lack the namespace; GC needs a path, VERSION nothing",
        proof(f"{REQUEST}::test_all_six_variables_are_always_there_and_nothing_else"),
    ),
    Row(
        "S12 S13",
        "without a version a plugin takes the request for 0.1.0",
        proof(
            f"{CONFIGURATION}::test_a_version_is_selected",
            f"{REQUESTS}::test_each_difference_is_intended",
        ),
    ),
    Row(
        "S19 S28",
        "verbs that the configuration's version lacks are not sent (CHECK, GC)",
        proof(
            f"{PLAN}::test_check_is_refused_below_its_first_version",
            f"{COLLECTS}::test_below_its_first_version_there_is_no_gc_and_the_deletes_happen",
        ),
    ),
    Row(
        "S36 S39",
        "a plugin may end without reading what it was sent, as on VERSION",
        proof(f"{PROCESS}::test_a_plugin_may_exit_without_reading_its_request"),
    ),
    Row("S40 S41", "how a plugin answers that does not know VERSION", VERSION),
    Row(
        "S47 S48",
        "a failed plugin's code is its own, or 999",
        proof(f"{RESPONSE}::test_no_other_code_is_special"),
    ),
)

INVOKE: Final = (
    Row(
        "I1",
        "our variables replace what the parent has of CNI",
        differs(
            "nothing but an allow-list of the parent's variables is seen (R12)",
            f"{RUNTIME}::test_plugins_see_the_parameters_the_allow_list_and_the_trace_and_nothing_else",
        ),
    ),
    Row(
        "I17-I19",
        "what a runner is given is what runs, and what it returns is read",
        proof(
            f"{PROCESS}::test_a_request_and_the_output_arrive_whole",
            f"{PROCESS}::test_the_environment_is_what_was_given_and_nothing_else",
            f"{RESPONSE}::test_an_add_that_succeeds_yields_its_result",
        ),
    ),
    Row(
        "I21-I23",
        "a result without a version has the configuration's, or 0.1.0",
        proof(
            f"{RESULT}::test_whatever_version_was_printed_the_selected_one_is_stamped",
            f"{ROWS}::test_a_plugin_that_prints_a_result_on_del_succeeds",
        ),
    ),
    Row(
        "I24 I25",
        "of verbs without a result nothing is read but success or error",
        proof(
            f"{RESPONSE}::test_a_delete_or_check_that_exits_with_0_is_never_read",
            f"{RESPONSE}::test_what_a_failed_plugin_said_is_found",
        ),
    ),
    Row("I27-I29", "asking a plugin for its versions: request, answer, error", VERSION),
    Row("I30 I31", "a plugin that does not know VERSION supports 0.1.0", VERSION),
    Row(
        "I32",
        "the first directory that has a plugin is used",
        proof(f"{PLUGINS}::test_the_first_match_wins"),
    ),
    Row("I33", "a plugin is found by its name without .exe", Differs("acni runs on Linux")),
    Row(
        "I34-I37",
        "no directory, no name, no such file, a path for a name: errors",
        proof(
            f"{PLUGINS}::test_what_is_wrong_is_not_used_and_said",
            f"{PLUGINS}::test_directories_that_plugins_could_misread_are_refused",
            f"{NAMES}::test_a_bad_plugin_type_is_refused",
        ),
    ),
    Row("I38-I42", "plugins built at five points of history, asked for their versions", VERSION),
    Row(
        "I43 I44",
        "request, variables and output pass byte for byte",
        proof(
            f"{PROCESS}::test_a_request_and_the_output_arrive_whole",
            f"{PROCESS}::test_the_environment_is_what_was_given_and_nothing_else",
        ),
    ),
    Row(
        "I45",
        "what a plugin writes to standard error when it succeeds is passed on",
        differs(
            "it is dropped: the engine has no stream to write to, and events hold none of it "
            "(design, observers); a failure's error holds the end of it",
        ),
    ),
    Row(
        "I46-I48",
        "a failure's message: the error object, else standard error, else the status alone",
        proof(
            f"{RESPONSE}::test_what_a_failed_plugin_said_is_found",
            f"{RESPONSE}::test_a_failure_without_an_error_object_broke_the_protocol",
        ),
    ),
    Row(
        "I49",
        "a file that cannot be executed is named",
        proof(
            f"{PROCESS}::test_what_the_kernel_refuses_to_start_is_not_started",
            "cli/test_command.py::test_a_plugin_that_cannot_run_is_named",
        ),
    ),
)

SMALLER: Final = (
    Row("V1", "a plugin's answer to VERSION is read", VERSION),
    Row(
        "V2",
        "versions are compared by number; what is none is an error",
        proof(
            f"{VERSIONS}::test_what_is_no_version_is_an_error",
            f"{VERSIONS}::test_versions_are_ordered_as_they_were_released",
        ),
    ),
    Row(
        "V3",
        "a prevResult is of the configuration's version",
        proof(
            f"{RESULT}::test_the_version_is_stamped_and_nothing_else_changes",
            f"{RESULT}::test_an_unknown_version_is_refused",
        ),
    ),
    Row("V4", "a plugin's versions hold the configuration's, letter by letter", VALIDATE),
    Row(
        "V5",
        "addresses keep their host bits; bad ones are refused; a result asked as none is 0.1.0",
        proof(
            f"{RESULT}::test_an_address_keeps_its_text_and_becomes_an_object_when_asked",
            f"{RESULT}::test_what_is_no_address_is_refused",
            f"{RESPONSE}::test_an_error_object_is_read_loosely",
        ),
    ),
    Row("V6", "results are converted between the shapes, and back", CONVERSION),
    Row(
        "V7",
        "container IDs, network and interface names: good, bad, empty",
        proof(
            f"{NAMES}::test_a_bad_container_id_is_refused",
            f"{NAMES}::test_a_bad_network_name_is_refused",
            f"{NAMES}::test_a_bad_interface_name_is_refused",
            f"{NAMES}::test_a_good_name_is_taken_as_it_is",
            f"{NAMES}::test_a_good_interface_name_is_taken_as_it_is",
        ),
    ),
)

TABLE: Final = (*API, *CONFIGURATIONS, *BACKWARDS, *SKEL, *INVOKE, *SMALLER)

# The cases that must be there: all of A, B and C; of S and I those that bind a runtime.
EXPECTED: Final = (
    "A1-A81 C1-C45 B1 S10 S12 S13 S17 S19 S26 S28 S35 S36 S38-S41 S47 S48 "
    "I1 I17-I19 I21-I25 I27-I49 V1-V7"
)
CASES: Final = re.compile(r"[ABCSIV][1-9][0-9]?(-[ABCSIV][1-9][0-9]?)?")
