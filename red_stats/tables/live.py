"""The tables of role live."""

from dataclasses import dataclass

from red_stats import topics
from red_stats.tables.alert_sequences import SequenceRows
from red_stats.tables.command_results import AnswerRows
from red_stats.tables.declarations import table
from red_stats.tables.subscriptions import ThresholdRows
from red_stats.tables.windows import WindowRows


@dataclass(slots=True)
class LiveTables:
    """What role live holds for one partition.

    `windows` and `alert_sequences` follow the measurements, `thresholds` and `answers` the commands.
    """

    windows: WindowRows = table(topics.WINDOWS_CHANGELOG, WindowRows, of_client=WindowRows.of_client)
    alert_sequences: SequenceRows = table(
        topics.ALERT_SEQUENCES_CHANGELOG, SequenceRows, of_client=SequenceRows.of_client
    )
    thresholds: ThresholdRows = table(topics.SUBSCRIPTIONS, ThresholdRows)
    answers: AnswerRows = table(topics.ANSWERS_CHANGELOG, AnswerRows)
