"""Every metric of RED, each with what it measures."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

REGISTRY = CollectorRegistry()
SHARED_FOLDER: Final = (
    "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own; servers together keep metrics there
)

#: Images by format ("" if unknown) and outcome: `measured`, or the code of the problem.
IMAGES = Counter("red_images", "Images by outcome", ["format", "outcome"], registry=REGISTRY)
#: Share of red pixels, 0..1, of images measured and stored, published or not.
REDNESS = Histogram(
    "red_redness",
    "Share of red pixels",
    buckets=(0, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1),
    registry=REGISTRY,
)
#: Images waiting for a decoder.
QUEUE = Gauge(
    "red_queue_images", "Images waiting for a decoder", registry=REGISTRY, multiprocess_mode="livesum"
)
#: Bytes of request bodies held in memory.
BODIES = Gauge("red_body_bytes", "Bytes of bodies in memory", registry=REGISTRY, multiprocess_mode="livesum")
#: Seconds from an image's arrival in the queue to its amounts, the wait for a free worker included.
DECODE_SECONDS = Histogram(
    "red_decode_seconds",
    "Waiting for a worker, decoding, counting",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
    registry=REGISTRY,
)
#: Seconds from handing an event to the publisher to Kafka's acknowledgement.
PUBLISH_SECONDS = Histogram(
    "red_publish_seconds",
    "Publishing one event",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 10),
    registry=REGISTRY,
)
#: Decoding workers replaced, by reason.
WORKER_RESTARTS = Counter("red_worker_restarts", "Decoding workers replaced", ["reason"], registry=REGISTRY)
#: 1 while API keys are followed, 0 while Kafka is unreachable and they stay as last known.
KEYS_FOLLOWED = Gauge(
    "red_keys_followed", "API keys followed", registry=REGISTRY, multiprocess_mode="livemin"
)
#: Records of red.api-keys that were not taken: not signed by this installation, or unreadable.
KEYS_IGNORED = Gauge(
    "red_key_records_ignored", "Key records ignored", registry=REGISTRY, multiprocess_mode="livemax"
)
#: Free bytes of the disk of images, or of Kafka in the data folder: the one with less.
DISK_FREE = Gauge(
    "red_disk_free_bytes", "Free bytes of the disk of images", registry=REGISTRY, multiprocess_mode="livemin"
)
#: Seconds this clock is ahead of Kafka's, at the last acknowledgement; beyond 300 images do not count.
CLOCK_AHEAD = Gauge(
    "red_clock_ahead_seconds", "This clock before Kafka's", registry=REGISTRY, multiprocess_mode="livemax"
)


def to_show(environment: Mapping[str, str]) -> CollectorRegistry:
    """The metrics of this process, or those of all servers together where there are several."""
    if SHARED_FOLDER not in environment:
        return REGISTRY
    together = CollectorRegistry()
    MultiProcessCollector(together, environment[SHARED_FOLDER])  # type: ignore[no-untyped-call]
    return together
