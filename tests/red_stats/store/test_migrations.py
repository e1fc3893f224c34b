"""A store that an earlier version wrote, opened by this one."""

import pytest

from red_stats.store import clickhouse
from red_stats.store.clickhouse import MIGRATIONS, StoreUnusable

NOW = 1_790_000_000_000
OLD = "client_id, id, webhook_id, alert_id, subscription_id, version, state, attempt, at, kafka_offset"
MIGRATION = "0006_deliveries_by_time.sql"
ROWS = [
    ("a", "d1", "pending", 0, NOW, 1), ("a", "d1", "pending", 1, NOW + 5, 2),
    ("a", "d2", "pending", 0, NOW + 1, 3),
    ("a", "d1", "delivered", 2, NOW + 9, 4), ("b", "d1", "pending", 0, NOW + 7, 5), ("", "", "", 0, 0, 5),
]  # fmt: skip


@pytest.fixture
def store(empty_store):
    return empty_store


def forgotten(store):
    """The migration is to be applied once more, as after a crash before it was noted."""
    store.command(f"ALTER TABLE red.migrations DELETE WHERE name = '{MIGRATION}' SETTINGS mutations_sync = 1")
    store.close()
    store.open()


def rows(store):
    found = store.query(
        "SELECT client_id, id, state, attempt, toUnixTimestamp64Milli(at), kafka_offset,"
        " toUnixTimestamp64Milli(enqueued_at) FROM red.deliveries ORDER BY kafka_offset, client_id DESC"
    )
    return [tuple(row) for row in found]


def test_every_row_of_a_delivery_knows_afterwards_when_it_was_made_also_if_that_is_done_twice(store):
    store.command("DROP TABLE red.deliveries")
    create = (MIGRATIONS / "0003_deliveries.sql").read_text()
    store.command(create.replace("IF NOT EXISTS ", "red."))
    values = ", ".join(
        f"('{client}', '{name}', 'w', 'x', 's', 1, '{state}', {attempt},"
        f" fromUnixTimestamp64Milli({at}), {offset})"
        for client, name, state, attempt, at, offset in ROWS
    )
    store.command(f"INSERT INTO red.deliveries ({OLD}) VALUES {values}")
    made = {("a", "d1"): NOW, ("a", "d2"): NOW + 1, ("b", "d1"): NOW + 7, ("", ""): 0}
    expected = [(*row, made[row[:2]]) for row in ROWS]

    for _ in range(2):
        forgotten(store)
        assert rows(store) == expected
    assert [name for (name,) in store.query("SHOW TABLES FROM red") if "by_time" in name] == []


def test_one_worker_at_a_time_changes_the_tables_of_a_server(store, monkeypatch):
    monkeypatch.setattr(clickhouse, "LOCK_SECONDS", 0.3)
    with store._alone(), pytest.raises(StoreUnusable, match=r"DROP TABLE red\.migrating"), store._alone():
        raise AssertionError("two at once")
    with store._alone():
        pass


def test_a_table_is_copied_only_where_there_is_room_for_it_twice(store):
    store.command(
        "INSERT INTO red.deliveries (client_id, id) SELECT 'a', toString(number) FROM numbers(100000)"
    )
    asked = []
    store.check_room = asked.append
    forgotten(store)
    assert any(more > 100_000 for more in asked)
