"""The fence in the engine: the settings under which SQL of a client runs, whatever its text is."""

from typing import Final

from red_stats.domain.erasure import NEVER, Erased
from red_stats.domain.sql_limits import Limits
from red_stats.store.sql.relations import table_filters

#: Nothing goes to the disk, nothing is compiled, and no time zone of the machine shows.
_ALWAYS: Final[dict[str, str | int]] = {
    "session_timezone": "UTC",
    "timeout_overflow_mode": "throw",
    "timeout_before_checking_execution_speed": 0,
    "result_overflow_mode": "throw",
    "max_bytes_before_external_group_by": 0,
    "max_bytes_before_external_sort": 0,
    "max_bytes_ratio_before_external_group_by": 0,
    "max_bytes_ratio_before_external_sort": 0,
    "max_temporary_data_on_disk_size_for_query": 1,
    "join_algorithm": "hash",
    "max_ast_depth": 500,
    "max_ast_elements": 20_000,
    "max_expanded_ast_elements": 20_000,
    "max_subquery_depth": 60,
    "max_recursive_cte_evaluation_depth": 100,
    "compile_expressions": 0,
    "compile_aggregate_expressions": 0,
    "compile_sort_description": 0,
    "use_query_cache": 0,
    "allow_ddl": 0,
    "allow_introspection_functions": 0,
    "optimize_move_to_prewhere": 0,  # conditions of the text would run before the filter of rows
    "output_format_write_statistics": 0,  # they count rows of others
    "max_block_size": 8192,  # the time is looked at between blocks
    "max_joined_block_size_rows": 8192,
    "enable_lazy_columns_replication": 0,  # rows would share a value, which costs no memory and much time
    "use_variant_as_common_type": 0,  # types grow by it
    "max_query_size": 1 << 20,  # values stand in the text
}
#: Of these, what servers that are still in use do not know.
NEWER: Final = frozenset(["enable_lazy_columns_replication"])


def settings_of(
    client_id: str, name: str, limits: Limits, erased: Erased = NEVER
) -> dict[str, str | int | float]:
    """The settings, in the order in which they are to be made; `name` is how `queries.killing` finds it."""
    return {
        **_ALWAYS,
        "additional_table_filters": table_filters(client_id, erased),
        "log_comment": name,
        "max_execution_time": limits.seconds,
        "max_memory_usage": limits.memory,
        "max_result_rows": limits.rows,
        "max_result_bytes": limits.result_bytes,
        "max_threads": limits.threads,
        "readonly": 1,  # the last: behind it nothing can be set
    }
