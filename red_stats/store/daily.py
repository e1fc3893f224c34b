"""Images of big clients by UTC day and amount: what a year of a client with millions of images is read from.

The table `daily` is a sum of seals. A seal holds the images of one client with offsets in `[begin, end)`, and
with them, in the same part and so in one atomic insert, a marker row that names that range. As the seals of a
client follow each other from 0 without a gap, they hold exactly its images below the last `end`, whatever
their event times; a reader adds the rows of `measurements` from there on. A seal is never changed: late
images are in the next one. If one is lost, the others cover too few offsets, which a reader sees. Those of a
client that was erased begin where it was erased to: a reader sees, too, if they still hold what is erased.

An insert is a compare-and-set, as in sink.py: its token names where it begins, so that of two writers one
wins, and reading back shows which.
"""

import logging
from typing import Any, Final, NamedTuple

import numpy as np

from red_common import failpoints
from red_stats.domain.buckets import DAY
from red_stats.store.clickhouse import Store
from red_stats.store.queries import DATABASE, Deletion, Question

log = logging.getLogger(__name__)

ROWS: Final = 250_000  # of a client behind its seals that are worth another one
AT_ONCE: Final = 2_000_000  # rows that one seal sums up
WORTH: Final = 3  # times as many rows as sums
TOKENS: Final = 20  # the engine remembers those of seals that were dropped
COLUMNS: Final = ("client_id", "day", "red_bp", "images", "sealed_from", "sealed_to")
#: of marker rows: how far the seals go, and how many offsets they cover; both are the same if none is lost
SEALED: Final = "maxIf(sealed_to, day = 0) AS sealed, sumIf(sealed_to - sealed_from, day = 0) AS covered"
_SUMS: Final = np.dtype([("day", "<u4"), ("red_bp", "<u2"), ("images", "<u4")])
_BEHIND: Final = (
    f"FROM {DATABASE}.measurements WHERE client_id = {{c:String}}"
    " AND kafka_offset >= {begin:UInt64} AND kafka_offset < {end:UInt64}"
)
_ALONE: Final = "SETTINGS max_threads = 1"  # what nobody waits for leaves the other processors to others


class Big(NamedTuple):
    """A client with many images, and the partition of its records."""

    client_id: str
    partition: int


class Seal(NamedTuple):
    """The images of a client with offsets in `[begin, end)`, as an array of day, red_bp and images.

    The client's first seal begins at `since`.
    """

    client_id: str
    begin: int
    end: int
    sums: Any
    since: int = 0


def clients() -> Question:
    """Every client that has a seal."""
    return Question(f"SELECT DISTINCT client_id FROM {DATABASE}.daily WHERE day = 0", {})


def unequal(client_id: str | None) -> Question:
    """Clients and days (since 1970) whose seals are not what the images say; of one client, or of all.

    Those of a client of whose seals one is lost are not read, and not looked at here. A seal that is inserted
    meanwhile may look unequal once.
    """
    mine = "" if client_id is None else " AND client_id = {c:String}"
    seals = (
        "SELECT client_id, min(sealed_from) AS since, max(sealed_to) AS sealed"
        f" FROM {DATABASE}.daily WHERE day = 0{mine}"
        " GROUP BY client_id HAVING sealed = since + sum(sealed_to - sealed_from)"
    )
    joined = f"INNER JOIN ({seals}) AS seals USING (client_id)"
    images = (
        f"SELECT client_id, toUInt32(intDiv(toUnixTimestamp64Milli(measured_at), {DAY}) + 1) AS day, red_bp,"
        f" toInt64(-1) AS n FROM {DATABASE}.measurements {joined}"
        " WHERE kafka_offset >= since AND kafka_offset < sealed"
    )
    sums = f"SELECT client_id, day, red_bp, toInt64(images) AS n FROM {DATABASE}.daily {joined} WHERE day > 0"
    sql = (
        f"SELECT DISTINCT client_id, day - 1 FROM ({sums} UNION ALL {images})"
        " GROUP BY client_id, day, red_bp HAVING sum(n) != 0 ORDER BY client_id, day LIMIT 1000"
    )
    return Question(sql, {} if client_id is None else {"c": client_id})


def forget_all() -> str:
    """The statement that drops every seal; what they held is counted from `measurements` then."""
    return f"TRUNCATE TABLE {DATABASE}.daily SETTINGS max_table_size_to_drop = 0"


class Seals:
    """Makes seals; every method blocks, and raises StoreError if the store cannot be used."""

    def __init__(self, store: Store, rows: int = ROWS, at_once: int = AT_ONCE) -> None:
        self._store, self._rows, self._at_once = store, rows, at_once

    def big_clients(self) -> list[Big]:
        """Every client with enough images to be worth a seal."""
        sql = (
            f"SELECT client_id, any(kafka_partition) FROM {DATABASE}.measurements WHERE client_id != ''"
            f" GROUP BY client_id HAVING count() >= {{rows:UInt64}} {_ALONE}"
        )
        return [Big(*row) for row in self._store.query(sql, {"rows": self._rows})]

    def sum_up(self, client_id: str, partition: int, mark: int, since: int = 0) -> Seal | None:
        """The next seal of a client, below the offset `mark` (the next one to record); None: not now.

        Seals begin at `since`, below which the client has been erased.
        """
        if not self._is_whole(partition, mark):
            return None
        begin = self._sealed(client_id, since)
        if begin is None:
            if not since:
                log.error("a seal of %s is lost: all of them are made anew", client_id)
            self._store.command(Deletion("daily", client_id).begin(wait=True))
            begin = since
        end = self._end(client_id, begin, mark)
        if end is None:
            return None
        sql = (
            f"SELECT toUInt32(intDiv(toUnixTimestamp64Milli(measured_at), {DAY}) + 1) AS day, red_bp,"
            f" toUInt32(count()) {_BEHIND} GROUP BY day, red_bp {_ALONE}"
        )
        sums = np.frombuffer(self._store.packed(sql, {"c": client_id, "begin": begin, "end": end}), _SUMS)
        if len(sums) * WORTH > int(sums["images"].sum()):
            return None
        return Seal(client_id, begin, end, sums, since)

    def insert(self, seal: Seal) -> bool:
        """Insert a seal; False: another one was first."""
        client_id, begin, end, sums, _ = seal
        zeros = [0] * len(sums)
        days, reds, images = (sums[name].tolist() for name in ("day", "red_bp", "images"))
        rows = [[client_id] * len(sums), days, reds, images, zeros, zeros]
        for attempt in range(TOKENS):
            token = f"daily/{client_id}/{begin}#{attempt}"
            failpoints.hit("record.before-seal")
            self._store.insert("daily", COLUMNS, [[[client_id], [0], [0], [0], [begin], [end]], rows], token)
            failpoints.hit("record.after-seal")
            found = self._sealed(client_id, seal.since)
            if found != begin:
                return found == end
        return False

    def _end(self, client_id: str, begin: int, mark: int) -> int | None:
        asked = {"c": client_id, "begin": begin, "end": mark}
        [[rows]] = self._store.query(f"SELECT count() {_BEHIND} {_ALONE}", asked)
        if rows < self._rows:
            return None
        if rows <= self._at_once:
            return mark
        share = self._at_once / rows
        [[end]] = self._store.query(f"SELECT quantile({share})(kafka_offset) {_BEHIND} {_ALONE}", asked)
        return min(int(end) + 1, mark)

    def _is_whole(self, partition: int, mark: int) -> bool:
        """Whether no batch below `mark` is missing: what the engine lost is recorded again, later."""
        sql = (
            "SELECT max(kafka_offset) + 1 AS next,"
            " sum(kafka_offset + 1 - batch_first) = next - min(batch_first)"
            f" FROM {DATABASE}.measurements WHERE client_id = '' AND kafka_partition = {{p:UInt16}} {_ALONE}"
        )
        [[following, without_holes]] = self._store.query(sql, {"p": partition})
        return bool(without_holes) and int(following) >= mark

    def _sealed(self, client_id: str, since: int) -> int | None:
        """The offset below which a client's images are sealed; None: a seal is lost, or was erased."""
        sql = f"SELECT {SEALED} FROM {DATABASE}.daily WHERE client_id = {{c:String}} AND day = 0"
        [[sealed, covered]] = self._store.query(sql, {"c": client_id})
        if not covered:
            return since
        return int(sealed) if sealed == covered + since else None
