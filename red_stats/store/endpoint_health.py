"""What is recorded of the deliveries to an endpoint, as SQL with its parameters."""

from typing import Final

from red_stats.domain.erasure import Erased
from red_stats.store.queries import DATABASE, Question, kept

LISTED: Final = 20  # changes


def recorded(client_id: str, subscription_id: str, erased: Erased) -> Question:
    """The fields of `endpoint_health.Recorded`, in one row."""
    of_it = (
        f"FROM {DATABASE}.deliveries WHERE client_id = {{c:String}} AND subscription_id = {{s:String}}"
        f"{kept('deliveries', erased)}"
    )
    own = f"{of_it} AND kind NOT IN ('test', 'health')"
    sql = (
        "WITH"
        f" (SELECT (countIf(s = 'pending'), countIf(s = 'held'), minIf(due, s = 'pending' AND due > 0)) FROM"
        " (SELECT argMax(state, kafka_offset) AS s,"
        f" argMax(toUnixTimestamp64Milli(due_at), kafka_offset) AS due {own} GROUP BY id)) AS waiting,"
        " (SELECT (toUnixTimestamp64Milli(max(at)), max(kafka_offset))"
        f" {own} AND state = 'delivered') AS success,"
        " (SELECT groupArray((toUnixTimestamp64Milli(at), state, error)) FROM"
        f" (SELECT at, state, error {of_it} AND kind = 'health' ORDER BY kafka_offset DESC LIMIT {LISTED:d}))"
        " AS changes"
        " SELECT waiting.1, waiting.2, waiting.3, greatest(success.1, 0), argMax(status, kafka_offset),"
        " countIf(kafka_offset > success.2),"
        " ifNull(minOrNullIf(toUnixTimestamp64Milli(at), kafka_offset > success.2), 0),"
        " argMax(if(because = 'retry_after', toUnixTimestamp64Milli(due_at), 0), kafka_offset), changes"
        f" {own} AND attempt > 0"
    )
    return Question(sql, {"c": client_id, "s": subscription_id})
