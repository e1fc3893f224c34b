"""Users of a ClickHouse server that read a client's rows and nothing else, for those who connect directly."""

from typing import Final

from red_stats.domain.sql_limits import Limits
from red_stats.store.queries import DATABASE
from red_stats.store.sql.dialect import quoted
from red_stats.store.sql.relations import RELATIONS, own_rows

#: What the tables hold of the events; the rest is about batches.
_COLUMNS: Final = {
    "measurements": "image_id, client_id, measured_at, red, red_bp, red_pixels, pixels, red_excess_bp,"
    " red_channel_bp, width, height, format, bytes, sha256, rule, decoder, kafka_partition, kafka_offset",
    "alerts": "id, client_id, subscription_id, version, seq, prev_seq, image_id, red, red_bp, threshold,"
    " threshold_bp, measured_at, position",
    "deliveries": "id, webhook_id, alert_id, client_id, subscription_id, version, state, attempt, at, status,"
    " error, ms, due_at, enqueued_at, kafka_partition, kafka_offset",
}
QUERIES: Final = 1000  # an hour
SECONDS: Final = 900  # of the engine's time, an hour


def name_of(client_id: str) -> str:
    """The user of a client."""
    own_rows(client_id)  # it is a client id
    return f"red_{client_id}"


def creating(client_id: str, password_sha256: str, limits: Limits) -> list[str]:
    """The statements that make a client's user, or make it anew with another password.

    Raises:
        ValueError: it is no client id.
    """
    user = f"`{name_of(client_id)}`"
    settings = {
        "max_execution_time": limits.seconds,
        "max_memory_usage": limits.memory,
        "max_result_rows": limits.rows,
        "max_result_bytes": limits.result_bytes,
        "max_threads": limits.threads,
        "readonly": 1,
    }
    told = ", ".join(
        f"{name} = {value:g}" if isinstance(value, float) else f"{name} = {value}"
        for name, value in settings.items()
    )
    return [
        f"CREATE USER OR REPLACE {user} IDENTIFIED WITH sha256_hash BY {quoted(password_sha256)}"
        f" DEFAULT DATABASE {DATABASE} SETTINGS {told}",
        f"CREATE QUOTA OR REPLACE {user} FOR INTERVAL 1 hour"
        f" MAX queries = {QUERIES}, execution_time = {SECONDS} TO {user}",
        *(
            statement
            for table in RELATIONS
            for statement in (
                # a server may let nobody read what has a policy for somebody else
                f"CREATE ROW POLICY OR REPLACE red_service ON {DATABASE}.{table} FOR SELECT"
                " USING 1 TO CURRENT_USER",
                f"CREATE ROW POLICY OR REPLACE {user} ON {DATABASE}.{table} FOR SELECT"
                f" USING {own_rows(client_id)} TO {user}",
                f"GRANT SELECT({_COLUMNS[table]}) ON {DATABASE}.{table} TO {user}",
            )
        ),
    ]


def dropping(client_id: str) -> list[str]:
    """The statements that remove a client's user.

    Raises:
        ValueError: it is no client id.
    """
    user = f"`{name_of(client_id)}`"
    policies = [f"DROP ROW POLICY IF EXISTS {user} ON {DATABASE}.{table}" for table in RELATIONS]
    return [f"DROP USER IF EXISTS {user}", f"DROP QUOTA IF EXISTS {user}", *policies]
