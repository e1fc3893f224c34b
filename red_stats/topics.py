"""Every topic: name, key, cleanup, retention; created and checked here, never by Faust (design 3)."""

from typing import Final, NamedTuple

MEASUREMENTS: Final = "red.measurements"
SUBSCRIPTION_COMMANDS: Final = "red.subscription-commands"
COMMAND_RESULTS: Final = "red.command-results"
SUBSCRIPTIONS: Final = "red.subscriptions"
ALERTS: Final = "red.alerts"
DELIVERY_TASKS: Final = "red.delivery-tasks"
DELIVERIES: Final = "red.deliveries"
API_KEYS: Final = "red.api-keys"
DEAD_LETTERS: Final = "red.dead-letters"

LIVE: Final = "red-stats-live"
DELIVER: Final = "red-stats-deliver"
RECORD: Final = "red-stats-record"
WINDOWS_CHANGELOG: Final = f"{LIVE}-windows-changelog"
ALERT_SEQUENCES_CHANGELOG: Final = f"{LIVE}-alert_sequences-changelog"
ANSWERS_CHANGELOG: Final = f"{LIVE}-answers-changelog"
LIVE_OWNERS: Final = f"{LIVE}-owners"
PENDING_CHANGELOG: Final = f"{DELIVER}-pending-changelog"
RECORD_MARKS_CHANGELOG: Final = f"{RECORD}-marks-changelog"

DAY_MS: Final = 86_400_000
KEEP: Final = -1
DEAD_LETTER_BYTES: Final = 4 << 20  # the largest record of the other topics (1 MiB) in base64, twice over


class Topic(NamedTuple):
    """One topic as it must be; `retention_ms` -1 keeps for ever."""

    name: str
    partitions: int
    compact: bool = False
    retention_ms: int = KEEP
    max_bytes: int | None = None  # of one record batch; None: the broker's own limit

    @property
    def config(self) -> dict[str, str]:
        """Its Kafka configuration."""
        config = {
            "message.timestamp.type": "LogAppendTime",
            "cleanup.policy": "compact" if self.compact else "delete",
        }
        if self.max_bytes is not None:
            config["max.message.bytes"] = str(self.max_bytes)
        if self.compact:
            return config | {"segment.ms": "600000", "min.cleanable.dirty.ratio": "0.3"}
        return config | {"retention.ms": str(self.retention_ms)}


def all_topics(partitions: int, measurements_retention_days: float | None = None) -> list[Topic]:
    """Every topic of the system."""
    days = measurements_retention_days
    kept = KEEP if days is None else int(days * DAY_MS)
    return [
        Topic(MEASUREMENTS, partitions, retention_ms=kept),
        Topic(SUBSCRIPTION_COMMANDS, partitions),
        Topic(COMMAND_RESULTS, partitions),
        Topic(SUBSCRIPTIONS, partitions, compact=True),
        Topic(ALERTS, partitions, retention_ms=30 * DAY_MS),
        Topic(DELIVERY_TASKS, partitions, retention_ms=7 * DAY_MS),
        Topic(DELIVERIES, partitions, retention_ms=30 * DAY_MS),
        Topic(API_KEYS, 1, compact=True),
        Topic(DEAD_LETTERS, partitions, retention_ms=30 * DAY_MS, max_bytes=DEAD_LETTER_BYTES),
        Topic(WINDOWS_CHANGELOG, partitions, compact=True),
        Topic(ALERT_SEQUENCES_CHANGELOG, partitions, compact=True),
        Topic(ANSWERS_CHANGELOG, partitions, compact=True),
        Topic(LIVE_OWNERS, 1, compact=True),
        Topic(PENDING_CHANGELOG, partitions, compact=True),
        Topic(RECORD_MARKS_CHANGELOG, partitions, compact=True),
    ]
