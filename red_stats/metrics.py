"""Every metric of RED_STATS in one place; the comments are their documentation."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

#: Measurements folded by live: counted "yes", "too late" for a window (statistics only), or "unreadable".
MEASUREMENTS = Counter(
    "red_stats_measurements", "Measurements folded by live", ["counted"], registry=REGISTRY
)
#: Alerts committed to red.alerts.
ALERTS = Counter("red_stats_alerts", "Alerts raised", registry=REGISTRY)
#: Commands decided, by the status of their result; a repeated command does not count.
COMMANDS = Counter("red_stats_commands", "Commands decided", ["status"], registry=REGISTRY)
#: Records sent to red.dead-letters, by source topic.
DEAD_LETTERS = Counter("red_stats_dead_letters", "Dead letters", ["topic"], registry=REGISTRY)
#: Attempts, by how they ended: delivered, retry, gone (410).
ATTEMPTS = Counter("red_stats_attempts", "Webhook attempts", ["verdict"], registry=REGISTRY)
#: Changes of the health of endpoints that were told: failing, ok, disabled, enabled.
ENDPOINT_CHANGES = Counter(
    "red_stats_endpoint_changes", "Changes of endpoints' health", ["state"], registry=REGISTRY
)
#: Deliveries not yet ended, by state, in the partitions that this process holds.
PENDING = Gauge("red_stats_pending_deliveries", "Deliveries not yet ended", ["state"], registry=REGISTRY)
#: Seconds since the oldest pending delivery was due; 0 if none is.
OLDEST_DUE = Gauge("red_stats_oldest_due_seconds", "Oldest due delivery", registry=REGISTRY)
#: Rows inserted into ClickHouse, by table.
ROWS = Counter("red_stats_rows", "Rows recorded", ["table"], registry=REGISTRY)
#: Seconds of one insert, with its read-back and check, by table.
INSERT_SECONDS = Histogram(
    "red_stats_insert_seconds", "Insert, read-back and check", ["table"], registry=REGISTRY
)
#: Inserts that failed or lost a race and were retried.
INSERT_RETRIES = Counter("red_stats_insert_retries", "Inserts retried", registry=REGISTRY)
#: 1 while the store's disk is nearly full: merges are stopped, and inserts wait below RED_MIN_FREE_BYTES.
DISK_LOW = Gauge("red_stats_disk_low", "The store's disk is nearly full", registry=REGISTRY)
#: Seconds of one transaction, by role.
TRANSACTION_SECONDS = Histogram(
    "red_stats_transaction_seconds",
    "One transaction: outputs, state, mark",
    ["role"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
    registry=REGISTRY,
)
#: Seconds from measured_at to the end of the POST that delivered the alert, first attempts only.
IMAGE_TO_WEBHOOK = Histogram(
    "red_stats_image_to_webhook_seconds",
    "Image measured to webhook delivered, first attempts",
    buckets=(0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.25, 0.5, 1, 5, 60),
    registry=REGISTRY,
)
#: Seconds for which a partition has not moved although its log has, by role and cause; absent if it moves.
STALLED = Gauge(
    "red_stats_stalled_seconds",
    "A partition that does not move",
    ["role", "topic", "partition", "cause"],
    registry=REGISTRY,
)
#: 1 while API keys are followed, 0 while Kafka is away and the keys last known are used.
KEYS_FOLLOWED = Gauge("red_stats_keys_followed", "API keys followed", registry=REGISTRY)
#: Records of red.api-keys that were not taken: not signed by this installation, or unreadable.
KEYS_IGNORED = Gauge("red_stats_key_records_ignored", "Key records ignored", registry=REGISTRY)
