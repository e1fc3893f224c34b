"""Every topic, declared once: everything else about topics derives from these declarations.

Names are fixed: other programs rely on them. All topics have `message.timestamp.type=LogAppendTime`.
"""

from typing import Any, Final, Literal, NamedTuple

Role = Literal["live", "deliver", "record"]

DAY_MS: Final = 86_400_000
KEEP: Final = -1
DEAD_LETTER_BYTES: Final = 4 << 20  # ample for the largest record of other topics (1 MiB) in base64


class Topic(str):
    """A topic's name, with everything that is declared about it.

    Attributes:
        read_by: the roles whose consumer groups read it, each from its mark.
        dead_letters_by: the role that writes its unreadable records to red.dead-letters; None: no role does.
        replayable: whether its dead letters can be replayed.
        stored_in: the ClickHouse table in which role record keeps it; None: in none.
        compact: whether it is compacted.
        retention_ms: how long it is kept unless it is compacted; -1: for ever.
        single: whether it has one partition instead of the configured number.
        max_bytes: the largest record batch; None: the broker's own limit.
    """

    read_by: tuple[Role, ...]
    dead_letters_by: Role | None
    replayable: bool
    stored_in: str | None
    compact: bool
    retention_ms: int
    single: bool
    max_bytes: int | None

    def __new__(
        cls,
        name: str,
        *,
        read_by: tuple[Role, ...] = (),
        dead_letters_by: Role | None = None,
        replayable: bool = False,
        stored_in: str | None = None,
        compact: bool = False,
        retention_ms: int = KEEP,
        single: bool = False,
        max_bytes: int | None = None,
    ) -> "Topic":
        """A topic; the arguments are its attributes."""
        topic = super().__new__(cls, name)
        topic.read_by, topic.dead_letters_by, topic.replayable = read_by, dead_letters_by, replayable
        topic.stored_in, topic.compact, topic.retention_ms = stored_in, compact, retention_ms
        topic.single, topic.max_bytes = single, max_bytes
        return topic


def group_of(role: str) -> str:
    """The consumer group of a role, which is also the id of its Faust app."""
    return f"red-stats-{role}"


def _changelog(role: Role, table: str) -> Topic:
    return Topic(f"{group_of(role)}-{table}-changelog", compact=True)


MEASUREMENTS: Final = Topic(
    "red.measurements",
    read_by=("live", "record"), dead_letters_by="record", replayable=True, stored_in="measurements",
)  # fmt: skip
SUBSCRIPTION_COMMANDS: Final = Topic(
    "red.subscription-commands", read_by=("live",), dead_letters_by="live", replayable=True
)
COMMAND_RESULTS: Final = Topic(
    "red.command-results",
    read_by=("record",), dead_letters_by="record", replayable=True, stored_in="versions",
)  # fmt: skip
SUBSCRIPTIONS: Final = Topic("red.subscriptions", compact=True)
ALERTS: Final = Topic(
    "red.alerts",
    read_by=("deliver", "record"), dead_letters_by="deliver", replayable=True, stored_in="alerts",
    retention_ms=30 * DAY_MS,
)  # fmt: skip
DELIVERY_TASKS: Final = Topic(
    "red.delivery-tasks",
    read_by=("deliver",), dead_letters_by="deliver", replayable=True, retention_ms=7 * DAY_MS,
)  # fmt: skip
DELIVERIES: Final = Topic(
    "red.deliveries",
    read_by=("record",), dead_letters_by="record", replayable=True, stored_in="deliveries",
    retention_ms=30 * DAY_MS,
)  # fmt: skip
API_KEYS: Final = Topic("red.api-keys", compact=True, single=True)
AUDIT: Final = Topic("red.audit", retention_ms=400 * DAY_MS, single=True)
DEAD_LETTERS: Final = Topic("red.dead-letters", retention_ms=30 * DAY_MS, max_bytes=DEAD_LETTER_BYTES)

WINDOWS_CHANGELOG: Final = _changelog("live", "windows")
ALERT_SEQUENCES_CHANGELOG: Final = _changelog("live", "alert_sequences")
ANSWERS_CHANGELOG: Final = _changelog("live", "answers")
LIVE_OWNERS: Final = Topic(f"{group_of('live')}-owners", compact=True, single=True)
PENDING_CHANGELOG: Final = _changelog("deliver", "pending")
BACKLOGS_CHANGELOG: Final = _changelog("deliver", "backlogs")
PROVEN_CHANGELOG: Final = _changelog("deliver", "proven")
DIGESTS_CHANGELOG: Final = _changelog("deliver", "digests")
FAILING_CHANGELOG: Final = _changelog("deliver", "failing")
RECORD_MARKS_CHANGELOG: Final = _changelog("record", "marks")

ALL: Final = tuple(topic for topic in list(globals().values()) if isinstance(topic, Topic))


def read_by(role: str) -> tuple[Topic, ...]:
    """The source topics of a role."""
    return tuple(topic for topic in ALL if role in topic.read_by)


class TopicSettings(NamedTuple):
    """A topic as it must be in the cluster; a `retention_ms` of -1 keeps it for ever."""

    name: str
    partitions: int
    compact: bool
    retention_ms: int
    max_bytes: int | None

    @property
    def config(self) -> dict[str, str]:
        """The Kafka configuration of the topic."""
        config = {
            "message.timestamp.type": "LogAppendTime",
            "cleanup.policy": "compact" if self.compact else "delete",
        }
        if self.max_bytes is not None:
            config["max.message.bytes"] = str(self.max_bytes)
        if self.compact:
            return config | {"segment.ms": "600000", "min.cleanable.dirty.ratio": "0.3"}
        return config | {"retention.ms": str(self.retention_ms)}


def wanted(partitions: int, measurements_retention_days: float | None = None) -> list[TopicSettings]:
    """All topics of the system; keyed ones have `partitions` partitions."""
    days = measurements_retention_days
    changed: dict[str, Any] = {} if days is None else {MEASUREMENTS: int(days * DAY_MS)}
    return [
        TopicSettings(
            str(topic),
            1 if topic.single else partitions,
            topic.compact,
            changed.get(topic, topic.retention_ms),
            topic.max_bytes,
        )
        for topic in ALL
    ]
