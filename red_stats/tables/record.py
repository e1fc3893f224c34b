"""The tables of role record, whose rows are in ClickHouse: it keeps marks of its dead letters only."""

from dataclasses import dataclass

from red_stats import topics
from red_stats.tables.declarations import NoRows, table


@dataclass(slots=True)
class RecordTables:
    """What role record holds for one partition."""

    marks: NoRows = table(topics.RECORD_MARKS_CHANGELOG, NoRows)
