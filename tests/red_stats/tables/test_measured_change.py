"""What measurements change in every table that follows them, whoever has been erased."""

from collections import Counter
from dataclasses import dataclass

import pytest

from red_stats.domain.erasure import NEVER, Erased
from red_stats.domain.measurement_columns import to_measurement_columns
from red_stats.domain.measurements import BatchReader
from red_stats.domain.record_batches import TableChange
from red_stats.tables.declarations import table
from red_stats.tables.live import LiveTables
from red_stats.tables.measured_change import fold_measurements
from tests.builders import NOW, Numbers, a_client_of, measured

PARTITION = 2
CLIENT, OTHER = a_client_of(PARTITION), a_client_of(PARTITION, prefix="other")
BATCH = [CLIENT, CLIENT, OTHER, CLIENT]


def count_images(readings, rows, *, partition, horizon):
    found = Counter(readings.clients[client] for client in readings.client.tolist())
    return TableChange({client.encode(): b"%d" % count for client, count in found.items()})


@dataclass
class Tables(LiveTables):
    images: Numbers = table("images", Numbers, count_images)


@pytest.mark.parametrize(
    ("before", "images"),
    [(0, {CLIENT: 3, OTHER: 1}), (2, {CLIENT: 1, OTHER: 1}), (4, {OTHER: 1})],
)
def test_the_fold_of_a_table_sees_what_is_not_erased(before, images):
    readings, _ = BatchReader(PARTITION, 4).read_all([measured(c, 0.5, n) for n, c in enumerate(BATCH)], -1)
    erased = {CLIENT: Erased(before, NOW)}
    tables = Tables()

    fold_measurements(
        to_measurement_columns(readings), tables, partition=PARTITION, versions_of=lambda client: (),
        horizon=NOW, retention_ms=86_400_000, erased_of=lambda client: erased.get(client, NEVER),
    ).apply(tables)  # fmt: skip

    assert tables.images == images
    assert {client: window.images for (client, _), window in tables.windows.items()} == images
