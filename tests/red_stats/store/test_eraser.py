"""What has been erased leaves the store, and nothing else does."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from red_common.events import rfc3339
from red_stats.domain.erasure import NEVER, Erased
from red_stats.domain.measurements import from_ms
from red_stats.domain.recorded_tables import ALERTS, DELIVERIES, MEASUREMENTS
from red_stats.store import queries
from red_stats.store.clickhouse import StoreError
from red_stats.store.daily import Seals
from red_stats.store.eraser import Eraser
from red_stats.store.queries import erased_rows
from tests.builders import NOW, a_client_of, a_record, an_alert, measured
from tests.red_stats.domain.test_foreign_records import an_event

PARTITION = 3
CLIENT, OTHER = a_client_of(PARTITION), a_client_of(PARTITION, prefix="other")
ERASED = Erased(50, NOW + 50)
PLACES = ("kafka_partition", "kafka_offset", "batch_first", "batch_rows", "batch_at")


def a_row(recorded, client, number):
    """A record of a table: about the measurement with that offset, made so many ms after NOW."""
    key, position = client.encode(), f"{PARTITION}:{number}"
    if recorded is MEASUREMENTS:
        return measured(client, 0.5, number)
    if recorded is ALERTS:
        return a_record(an_alert(position=position), number, key)
    at = rfc3339(from_ms(NOW + number))
    about = {"position": position, "alert_id": "a"} if number % 2 else {}
    return a_record(an_event(client_id=client, id=f"d{number}", at=at, **about), number, key)


def stays(recorded, client, number):
    limit = ERASED.at - NOW if recorded is DELIVERIES and number % 2 == 0 else ERASED.before - 1
    return client != CLIENT or number > limit


def erased_of(client_id):
    return ERASED if client_id == CLIENT else NEVER


@pytest.fixture
def store(empty_store):
    return empty_store


class ARecorder:
    """What the eraser asks of a recorder."""

    def __init__(self, table):
        self.table, self.rebuilt, self.writing = table, 0, asyncio.Lock()


def filled(store, recorded, numbers):
    """Rows of both clients, and a marker row."""
    reader = recorded.reader(PARTITION, 4)
    records = [a_row(recorded, random.Random(n).choice([CLIENT, OTHER]), n) for n in numbers]
    batch = reader(records)
    assert not batch.unreadable
    count = len(batch.offsets)
    place = [[PARTITION] * count, list(batch.offsets), [0] * count, [count] * count, [NOW] * count]
    marker = [[value] for value in (*recorded.empty, PARTITION, numbers[-1], numbers[0], count, NOW)]
    groups = [[*batch.columns, *place], marker]
    store.insert(recorded.table, (*recorded.columns, *PLACES), groups, f"{recorded.table}/{numbers[0]}")
    return records


def held(store, recorded):
    sql = f"SELECT client_id, kafka_offset FROM red.{recorded.table} ORDER BY kafka_offset, client_id"
    return [(client, int(offset)) for client, offset in store.query(sql)]


class AnEraser:
    """It works when it is told to; `erasing` does so until something holds."""

    def __init__(self, store, *recorded):
        self.recorders = [ARecorder(one.table) for one in recorded]
        self.eraser = Eraser(store, self.recorders, lambda: {PARTITION: (1, {CLIENT: ERASED})})
        self.store = store

    async def erasing(self, holds):
        async with asyncio.timeout(60):
            while not holds():
                await self.eraser.round()
                await asyncio.sleep(0)  # so that the limit is one

    def is_gone(self):
        """Whether there are no erased rows in its tables."""
        asked = [erased_rows(recorder.table, {CLIENT: ERASED}) for recorder in self.recorders]
        return not any(self.store.query(*question) for questions in asked for question in questions)


@pytest.mark.parametrize("recorded", [MEASUREMENTS, ALERTS, DELIVERIES], ids=lambda one: one.table)
async def test_exactly_the_erased_rows_leave_a_table_and_its_marker_rows_stay(store, recorded):
    filled(store, recorded, range(40))
    filled(store, recorded, range(40, 80))
    before = held(store, recorded)

    eraser = AnEraser(store, recorded)
    await eraser.erasing(eraser.is_gone)

    assert held(store, recorded) == [one for one in before if not one[0] or stays(recorded, *one)]
    assert [offset for client, offset in held(store, recorded) if not client] == [39, 79]


async def test_seals_of_what_is_erased_go_and_those_of_others_stay(store):
    filled(store, MEASUREMENTS, range(80))
    seals = Seals(store, rows=10)
    for client in (CLIENT, OTHER):
        assert seals.insert(seals.sum_up(client, PARTITION, 80))

    sealed = "SELECT DISTINCT client_id FROM red.daily ORDER BY client_id"
    await AnEraser(store, MEASUREMENTS).erasing(lambda: len(store.query(sealed)) == 1)

    assert store.query(sealed) == [(OTHER,)]


async def test_seals_made_since_it_was_erased_stay(store):
    filled(store, MEASUREMENTS, range(400))
    seals = Seals(store, rows=10)
    assert seals.insert(seals.sum_up(CLIENT, PARTITION, 400, ERASED.before))
    sealed = store.query("SELECT * FROM red.daily ORDER BY ALL")

    eraser = AnEraser(store, MEASUREMENTS)
    await eraser.erasing(eraser.is_gone)

    assert store.query("SELECT * FROM red.daily ORDER BY ALL") == sealed


async def test_a_table_made_anew_is_looked_at_again(store):
    eraser = AnEraser(store, ALERTS)
    await eraser.eraser.round()

    filled(store, ALERTS, range(40))  # as by a rebuild that did not know of it yet
    eraser.recorders[0].rebuilt += 1

    await eraser.erasing(eraser.is_gone)


async def test_what_a_store_that_failed_still_has_goes_later(store):
    filled(store, ALERTS, range(40))
    eraser = AnEraser(store, ALERTS)
    store.command("RENAME TABLE red.alerts TO red.away")
    with pytest.raises(StoreError):
        await eraser.eraser.round()

    store.command("RENAME TABLE red.away TO red.alerts")

    await eraser.erasing(eraser.is_gone)


async def test_it_waits_for_what_is_being_written_before_it_looks(store):
    eraser = AnEraser(store, ALERTS)
    async with eraser.recorders[0].writing:
        task = asyncio.create_task(eraser.eraser.round())
        done, _ = await asyncio.wait([task], timeout=0.2)
        assert not done
        filled(store, ALERTS, range(40))  # made before the erasure was read
    await task

    await eraser.erasing(eraser.is_gone)


class Counting:
    """A store that counts its questions, and does not take a deletion of one client."""

    def __init__(self, store, refused=None):
        self.store, self.refused, self.questions = store, refused, 0

    def query(self, sql, parameters=None):
        self.questions += 1
        return self.store.query(sql, parameters)

    def command(self, sql):
        if self.refused is not None and f"'{self.refused}'" in sql:
            raise ZeroDivisionError("a bug")
        self.store.command(sql)

    def check_room(self, more):
        self.store.check_room(more)


@pytest.mark.parametrize(("refused", "other"), [(CLIENT, OTHER), (OTHER, CLIENT)])
async def test_a_client_that_cannot_be_erased_holds_up_no_other(store, refused, other):
    filled(store, ALERTS, range(40))
    here = {CLIENT: ERASED, OTHER: ERASED}
    eraser = Eraser(Counting(store, refused), [ARecorder("alerts")], lambda: {PARTITION: (1, here)})

    async with asyncio.timeout(60):
        while other in {client for client, _ in held(store, ALERTS)}:
            with pytest.raises(ZeroDivisionError):
                await eraser.round()

    assert refused in {client for client, _ in held(store, ALERTS)}


async def test_all_clients_are_looked_for_in_one_question_a_table_and_not_again(store):
    counting, generation = Counting(store), 1
    clients = {f"client-{n}": Erased(n, NOW) for n in range(50)}
    recorders = [ARecorder(one.table) for one in (MEASUREMENTS, ALERTS, DELIVERIES)]
    eraser = Eraser(counting, recorders, lambda: {PARTITION: (generation, clients)})

    await eraser.round()
    await eraser.round()
    assert counting.questions == 4  # of seals, too

    generation += 1
    await eraser.round()
    assert counting.questions == 8


async def test_more_clients_than_a_question_takes_are_looked_for_in_several(store, monkeypatch):
    monkeypatch.setattr(queries, "CLIENTS_AT_ONCE", 2)
    filled(store, ALERTS, range(40))
    clients = dict.fromkeys(("a", "b", CLIENT, "c", OTHER), ERASED)

    asked = erased_rows("alerts", clients)

    found = {name: count for question in asked for name, count in store.query(*question)}
    assert (len(asked), set(found)) == (3, {CLIENT, OTHER})
    assert sum(found.values()) == 40
    assert erased_rows("alerts", {}) == []


async def test_a_seal_can_be_made_where_another_one_began_that_was_erased(store):
    filled(store, MEASUREMENTS, range(400))
    seals = Seals(store, rows=10)
    for end in (ERASED.before, 400):
        assert seals.insert(seals.sum_up(CLIENT, PARTITION, end) or pytest.fail("no seal"))
    sealed = "SELECT count() FROM red.daily"
    await AnEraser(store, MEASUREMENTS).erasing(lambda: store.query(sealed) == [(0,)])

    again = seals.sum_up(CLIENT, PARTITION, 400, ERASED.before)  # as the second one did

    assert again.begin == ERASED.before
    assert seals.insert(again)
    assert store.query(sealed) != [(0,)]


@pytest.mark.parametrize("recorded", [MEASUREMENTS, ALERTS, DELIVERIES], ids=lambda one: one.table)
@given(rows=st.lists(st.tuples(st.sampled_from([CLIENT, OTHER]), st.integers(0, 100)), min_size=1))
def test_what_is_erased_is_not_recorded_and_sql_and_python_say_the_same(recorded, rows):
    rows = sorted(set(rows), key=lambda row: row[1])
    batch = recorded.reader(PARTITION, 4)([a_row(recorded, *row) for row in rows])

    kept = recorded.without_erased(batch, erased_of)

    expected = [row for row in rows if stays(recorded, *row)]
    assert list(zip(kept.columns[0], kept.offsets, strict=True)) == expected
    assert all(len(column) == len(expected) for column in kept.columns)
    assert (kept.first, kept.last, kept.unreadable) == (batch.first, batch.last, [])
    kinds = [(type(column), getattr(column, "typecode", "")) for column in batch.columns]
    assert [(type(column), getattr(column, "typecode", "")) for column in kept.columns] == kinds
