"""The settings under which SQL of a client runs, as the engine has them while it runs."""

import pytest

from red_stats.domain.sql_limits import Limits
from red_stats.store.clickhouse import Store, StoreError
from red_stats.store.sql.limits import NEWER, settings_of
from red_stats.store.sql.questions import SqlQuestion

#: By law: the settings that keep it, and their values as the engine tells them.
LAWS = {
    "no time zone of the machine shows": {"session_timezone": "UTC"},
    "what is too much is an error and no part of an answer": {
        "timeout_overflow_mode": "throw",
        "result_overflow_mode": "throw",
    },
    "the time is looked at from the beginning and between small blocks": {
        "timeout_before_checking_execution_speed": "0",
        "max_block_size": "8192",
        "max_joined_block_size_rows": "8192",
        "enable_lazy_columns_replication": "0",
    },
    "nothing goes to the disk": {
        "max_bytes_before_external_group_by": "0",
        "max_bytes_before_external_sort": "0",
        "max_bytes_ratio_before_external_group_by": "0",
        "max_bytes_ratio_before_external_sort": "0",
        "max_temporary_data_on_disk_size_for_query": "1",
        "join_algorithm": "hash",
    },
    "no text is read into more than so many nodes, levels or bytes": {
        "max_ast_depth": "500",
        "max_ast_elements": "20000",
        "max_expanded_ast_elements": "20000",
        "max_subquery_depth": "60",
        "max_recursive_cte_evaluation_depth": "100",
        "max_query_size": "1048576",
        "use_variant_as_common_type": "0",
    },
    "nothing is compiled": {
        "compile_expressions": "0",
        "compile_aggregate_expressions": "0",
        "compile_sort_description": "0",
    },
    "nothing of others is kept, told or read": {
        "use_query_cache": "0",
        "output_format_write_statistics": "0",
        "optimize_move_to_prewhere": "0",
    },
    "nothing is changed": {"readonly": "1", "allow_ddl": "0", "allow_introspection_functions": "0"},
    "an operator's limits hold": {
        "max_execution_time": "2.5",
        "max_memory_usage": "100000000",
        "max_result_rows": "7",
        "max_result_bytes": "70000",
        "max_threads": "2",
    },
}
GIVEN = Limits(seconds=2.5, memory=100_000_000, rows=7, result_bytes=70_000, threads=2)


@pytest.mark.parametrize("law", LAWS)
def test_the_engine_keeps_to_it_whatever_its_own_default_is(law, ask_engine):
    for name, value in LAWS[law].items():
        found = ask_engine(f"SELECT value, changed FROM system.settings WHERE name = '{name}'", limits=GIVEN)
        assert found == f"{value}\t1\n", name


def test_every_setting_keeps_a_law():
    kept = {name for settings in LAWS.values() for name in settings}
    assert settings_of("anna", "n", GIVEN).keys() == kept | {"additional_table_filters", "log_comment"}


def test_a_question_is_found_by_its_name(ask_engine):
    assert ask_engine("SELECT value FROM system.settings WHERE name = 'log_comment'") == "name\n"


@pytest.mark.parametrize("table", ["measurements", "alerts", "deliveries"])
def test_no_part_of_the_answer_counts_rows_of_others(table, ask_engine):
    found = ask_engine(f"SELECT 1 FROM red.{table}", format="JSON")
    assert '"statistics"' not in found
    assert '"rows_read"' not in found


def test_a_server_that_does_not_know_a_newer_setting_is_asked_without_it():
    class Older(Store):
        """A server as it is in deploy/, which keeps a value for each row anyway."""

        def __init__(self):
            super().__init__("chdb:///nowhere")
            self.given = None

        def query(self, sql, parameters=None):
            return [(name,) for name in settings_of("anna", "n", GIVEN) if name not in NEWER]

        def _connected(self, **options):
            self.given = options["settings"]
            raise StoreError("it is enough")

    older = Older()
    asked = settings_of("anna", "n", GIVEN)
    with pytest.raises(StoreError, match="enough"):
        older.answer(SqlQuestion("SELECT 1", "TSV", asked, ""))
    assert asked.keys() - older.given.keys() == NEWER
