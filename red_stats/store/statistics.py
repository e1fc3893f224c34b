"""What clients ask about their images, as SQL with its parameters.

A statistic is asked of sources: of every image, or, for the whole days of a big client, of its seals
(daily.py) and of the images that are not in them. What sources answer is added up. The first column of what
is asked of images is the mark: the last offset recorded of the client's partition (-1: none).
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np

from red_common.events import to_basis_points
from red_stats.domain.buckets import DAY
from red_stats.domain.preview import Images
from red_stats.store.daily import SEALED
from red_stats.store.queries import DATABASE, LAST_MS, POSITION, Question

FEW: Final = 10  # thresholds
MEASUREMENT: Final = (
    "image_id", "client_id", "measured_at", "red", "red_pixels", "pixels", "red_excess", "red_channel",
    "width", "height", "format", "bytes", "sha256", "rule", "decoder", "position",
)  # fmt: skip
#: how a field is made from columns, where it is not a column of that name
_FIELDS: Final = {
    "measured_at": "concat(replaceOne(toString(measured_at), ' ', 'T'), 'Z')",
    "red": "red_bp / 10000",
    "red_excess": "red_excess_bp / 10000",
    "red_channel": "red_channel_bp / 10000",
    "position": POSITION,
}
_IMAGE: Final = np.dtype([("offset", "<i8"), ("red_bp", "<u2"), ("at", "<i8")])
_MARK: Final = (
    f"(SELECT if(count() = 0, -1, toInt64(max(kafka_offset))) FROM {DATABASE}.measurements"
    " WHERE client_id = '' AND kafka_partition = {p:UInt16})"
)
_READ: Final = (
    f"FROM {DATABASE}.measurements WHERE client_id = {{c:String}}"
    " AND measured_at >= fromUnixTimestamp64Milli({f:Int64})"
    " AND measured_at < fromUnixTimestamp64Milli({t:Int64})"
)


class Range(NamedTuple):
    """The images of a client, whose records are in `partition`, with `start <= measured_at < end` (ms).

    Those with offsets below `since` have been erased.
    """

    client_id: str
    partition: int
    start: int
    end: int
    since: int = 0

    @property
    def read(self) -> str:
        """FROM and WHERE."""
        return _READ + self.kept

    @property
    def kept(self) -> str:
        """The condition of the images that have not been erased, behind others."""
        return f" AND kafka_offset >= {self.since:d}" if self.since else ""

    @property
    def values(self) -> dict[str, Any]:
        """The parameters of `read`."""
        return {"c": self.client_id, "f": min(self.start, LAST_MS), "t": min(self.end, LAST_MS)}

    @property
    def days(self) -> range:
        """The whole UTC days in it, since 1970."""
        return range(-(-self.start // DAY), min(self.end, LAST_MS) // DAY)


class Source(NamedTuple):
    """Where images are read from: FROM and WHERE, and how they are counted there."""

    read: str
    values: dict[str, Any]
    at: str = "toUnixTimestamp64Milli(measured_at)"
    images: str = "count()"
    over: str = "countIf(red_bp > {})"
    red: str = "sum(red_bp)"
    carried: str = ""  # what is asked of marker rows besides, as `sealed` and `covered`


def every_image(asked: Range) -> Source:
    """All images of a range, one by one."""
    return Source(asked.read, asked.values)


def sealed_days(asked: Range) -> Source:
    """The images of the whole days of a range that are sealed; the first column tells (sealed, covered)."""
    days = asked.days
    return Source(
        f"FROM {DATABASE}.daily WHERE client_id = {{c:String}}"
        f" AND (day = 0 OR day > {days.start:d} AND day <= {days.stop:d})",
        {"c": asked.client_id},
        at=f"(toInt64(day) - 1) * {DAY}",
        images="sum(images)",
        over="sumIf(images, red_bp > {})",
        red="sum(red_bp * images)",
        carried=f", {SEALED}",
    )


def not_sealed(asked: Range, sealed: int) -> Source:
    """The other images: those with offsets from `sealed` on, and all of the days that are not whole."""
    first, behind = asked.days.start * DAY, asked.days.stop * DAY
    within = (
        "SELECT measured_at, red_bp FROM {db}.measurements WHERE client_id = {{c:String}}"
        " AND measured_at >= fromUnixTimestamp64Milli(toInt64({start:d}))"
        " AND measured_at < fromUnixTimestamp64Milli(toInt64({end:d})){more}"
    )
    values = asked.values
    parts = [(values["f"], first, asked.kept), (behind, values["t"], asked.kept)]
    parts.append((first, behind, f" AND kafka_offset >= {sealed:d}"))
    read = " UNION ALL ".join(
        within.format(db=DATABASE, start=start, end=end, more=more) for start, end, more in parts
    )
    return Source(f"FROM ({read})", {"c": asked.client_id})


class Counts(NamedTuple):
    """The images, and as an array those over each of the thresholds (0..1)."""

    thresholds: Sequence[float]

    def of(self, source: Source, first: str) -> Question:
        """Its question of a source, whose first column is `first`."""
        bounds = [to_basis_points(t) for t in self.thresholds]
        if len(bounds) <= FEW:
            counted = f"{source.images} AS n, {_over(source, bounds)} AS over{source.carried}"
            sql = f"SELECT {first}, max(n), any(over) FROM (SELECT {counted} {source.read})"
            return Question(sql, source.values)
        # an expression for each would take longer to plan than to run
        counted = "sumForEach(arrayMap(bound -> if(red_bp > bound, n, 0), {bounds:Array(UInt16)}))"
        sql = f"SELECT {first}, sum(n), {counted} FROM {_amounts(source)}"
        return Question(sql, source.values | {"bounds": bounds})

    def added(self, parts: Sequence[tuple[Any, ...]]) -> tuple[int, list[int]]:
        """The sum of what several sources answered."""
        over = [sum(counts) for counts in zip(*(part[1] for part in parts if part[1]), strict=True)]
        return sum(part[0] for part in parts), over or [0] * len(self.thresholds)


class Amounts(NamedTuple):
    """The distinct amounts (bp), ascending, each with its images."""

    def of(self, source: Source, first: str) -> Question:
        """Its question of a source, whose first column is `first`."""
        found = "arraySort(groupArrayIf((red_bp, n), n > 0))"
        return Question(f"SELECT {first}, {found} FROM {_amounts(source)}", source.values)

    def added(self, parts: Sequence[tuple[Any, ...]]) -> list[tuple[int, int]]:
        """The sum of what several sources answered."""
        if len(parts) == 1:
            return list(parts[0][0])
        total: Counter[int] = Counter()
        for (found,) in parts:
            total.update(dict(found))
        return sorted(total.items())


class Series(NamedTuple):
    """By where it begins (ms) every bucket that has images.

    `starts` are where buckets begin, ascending, the first at the start of the range. A bucket is (images, the
    sum of their amounts (bp), the largest of them, images over each threshold).
    """

    starts: Sequence[int]
    thresholds: Sequence[float]

    def of(self, source: Source, first: str) -> Question:
        """Its question of a source, whose first column is `first`."""
        bounds = [to_basis_points(t) for t in self.thresholds]
        found, starts = _bucket_of(source.at, self.starts)
        bucket, values = f"{found} AS start", source.values | starts
        if len(bounds) <= FEW:
            buckets = (
                f"SELECT {bucket}, {source.images} AS n, {source.red} AS red, max(red_bp) AS most,"
                f" {_over(source, bounds)} AS over{source.carried} {source.read} GROUP BY start"
            )
        else:
            over = "sumForEach(arrayMap(bound -> if(red_bp > bound, i, 0), {bounds:Array(UInt16)}))"
            carried = ", max(sealed) AS sealed, max(covered) AS covered" if source.carried else ""
            buckets = (
                f"SELECT start, sum(i) AS n, sum(red_bp * i) AS red, max(red_bp) AS most,"
                f" {over} AS over{carried}"
                f" FROM (SELECT {bucket}, red_bp, {source.images} AS i{source.carried} {source.read}"
                " GROUP BY start, red_bp) GROUP BY start"
            )
            values["bounds"] = bounds
        made = f"groupArrayIf((start, n, red, most, over), n > 0) FROM ({buckets})"
        return Question(f"SELECT {first}, {made}", values)

    def added(self, parts: Sequence[tuple[Any, ...]]) -> dict[int, tuple[int, int, int, list[int]]]:
        """The sum of what several sources answered."""
        found: dict[int, tuple[int, int, int, list[int]]] = {}
        for start, images, red, most, over in (bucket for part in parts for bucket in part[0]):
            had = found.get(start)
            if had is not None:
                images, red, most = images + had[0], red + had[1], max(most, had[2])
                over = [a + b for a, b in zip(over, had[3], strict=True)]
            found[start] = images, red, most, over
        return found


Statistic = Counts | Amounts | Series


def from_images(statistic: Statistic, source: Source, partition: int, known_mark: int | None) -> Question:
    """A statistic of images one by one; its first column is the mark, known or asked together with it."""
    if known_mark is not None:
        return statistic.of(source, f"{known_mark:d}")
    sql, values = statistic.of(source, _MARK)
    return Question(sql, values | {"p": partition})


def from_seals(statistic: Statistic, asked: Range) -> Question:
    """A statistic of the sealed whole days of a range; its first column is the client's (sealed, covered)."""
    return statistic.of(sealed_days(asked), "(max(sealed), sum(covered))")


def mark(asked: Range) -> Question:
    """The mark alone."""
    return Question(f"SELECT {_MARK}", {"p": asked.partition})


def _bucket_of(at: str, starts: Sequence[int]) -> tuple[str, dict[str, Any]]:
    """Where the bucket of a time begins, as an expression; those of one width are found by a division."""
    widths = {following - start for start, following in pairwise(starts[1:])}
    if len(widths) > 1:
        return f"roundDown({at}, {{starts:Array(Int64)}})", {"starts": list(starts)}
    first, second = starts[0], starts[1] if len(starts) > 1 else LAST_MS
    width = widths.pop() if widths else LAST_MS
    return (
        f"if({at} < {second:d}, {first:d}, {second:d} + intDiv({at} - {second:d}, {width:d}) * {width:d})",
        {},
    )


def _amounts(source: Source) -> str:
    return f"(SELECT red_bp, {source.images} AS n{source.carried} {source.read} GROUP BY red_bp)"


def _over(source: Source, bounds: Sequence[int]) -> str:
    counted = ", ".join(source.over.format(f"{bound:d}") for bound in bounds)
    return f"[{counted}]" if bounds else "emptyArrayUInt64()"


class Place(NamedTuple):
    """Where a measurement stands among those of its client: event time (ms), then offset."""

    at: int
    offset: int


def measurements(
    asked: Range,
    form: str,
    *,
    limit: int,
    newest_first: bool = True,
    over: float | None = None,
    behind: Place | None = None,
    upto: int | None = None,
) -> Question:
    """Images of a range in the order of their places or the reverse: place, and MEASUREMENT as a line.

    `form` is an output format of the engine, such as CSV. Only those over an amount (0..1), those that come
    behind a place, and those with an offset of at most `upto`, where these are given.
    """
    where, values, order = "", asked.values, "DESC" if newest_first else "ASC"
    if over is not None:
        where += f" AND red_bp > {to_basis_points(over):d}"
    if upto is not None:
        where += f" AND kafka_offset <= {upto:d}"
    if behind is not None:
        sign, at = ("<" if newest_first else ">"), "fromUnixTimestamp64Milli({at:Int64})"
        where += (
            f" AND measured_at {sign}= {at} AND (measured_at {sign} {at} OR kafka_offset {sign} {{o:UInt64}})"
        )
        values |= {"at": min(behind.at, LAST_MS), "o": behind.offset}
    # under other names within: an alias would take the place of the column in WHERE and ORDER BY
    made = ", ".join(f"{_FIELDS.get(name, name)} AS {name}_" for name in MEASUREMENT)
    fields = ", ".join(f"{name}_ AS {name}" for name in MEASUREMENT)
    sql = (
        f"SELECT at, kafka_offset, formatRow('{form}', {fields}) FROM"
        f" (SELECT toUnixTimestamp64Milli(measured_at) AS at, kafka_offset, {made} {asked.read}{where}"
        f" ORDER BY measured_at {order}, kafka_offset {order} LIMIT {limit:d})"
    )
    return Question(sql, values)


def images(asked: Range, upto: int) -> Question:
    """The images of a range up to an offset, in the order of offsets, packed: `images_in` reads them."""
    sql = (
        f"SELECT kafka_offset, red_bp, toUnixTimestamp64Milli(measured_at) {asked.read}"
        " AND kafka_offset <= {upto:Int64} ORDER BY kafka_offset"
    )
    return Question(sql, asked.values | {"upto": upto})


def images_in(packed: bytes) -> Images:
    """The packed rows of the question `images`, as columns."""
    rows = np.frombuffer(packed, _IMAGE)
    return Images(*(np.ascontiguousarray(rows[name]) for name in Images._fields))


def image_ids(client_id: str, offsets: Sequence[int]) -> Question:
    """The image_id of each of a client's offsets, in their order."""
    sql = (
        f"SELECT image_id FROM {DATABASE}.measurements WHERE client_id = {{c:String}}"
        " AND kafka_offset IN {o:Array(UInt64)} ORDER BY kafka_offset"
    )
    return Question(sql, {"c": client_id, "o": list(offsets)})
