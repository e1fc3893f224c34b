"""Rows of pending deliveries, also those that somebody else has written."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from red_stats.domain import deliveries
from red_stats.domain.deliveries import Row
from red_stats.tables.pending_deliveries import PendingRows

names = st.sampled_from("ab")
changes = st.lists(st.tuples(names, names, names, st.booleans()), max_size=30)


def a_row(name, client_id, subscription_id):
    return Row(
        id=name, webhook_id="w", alert_id="a", client_id=client_id, subscription_id=subscription_id,
        version=1,
        type="red.alert", timestamp="", data="{}", since=0, due=0,
    )  # fmt: skip


@given(changes)
def test_whatever_is_loaded_each_endpoint_and_client_has_the_rows_that_are_there(changes):
    rows = PendingRows()
    for name, client, subscription, is_there in changes:
        row = a_row(name, client, subscription) if is_there else None
        rows.load(name.encode(), None if row is None else deliveries.encode(row))
    assert rows.clients == Counter(row.client_id for row in rows.values())
    assert {name: set(of) for name, of in rows.of.items()} == {
        name: {row.id for row in rows.values() if row.subscription_id == name}
        for name in {row.subscription_id for row in rows.values()}
    }
