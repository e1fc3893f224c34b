"""librdkafka as its users would set it for throughput, for peers without a client of their own."""

from collections.abc import Iterator
from typing import Any

import msgspec
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from bench.job import POLL, Job

# Large fetches, a queue that never runs dry, no wait between a full queue and the next fetch.
FETCHING = {
    "max.partition.fetch.bytes": 4 << 20,
    "queued.min.messages": 100_000,
    "queued.max.messages.kbytes": 128 << 10,
    "fetch.queue.backoff.ms": 10,
    "check.crcs": False,
}
SENDING = {"linger.ms": 5, "batch.size": 256 << 10, "enable.idempotence": True}


class Measured(msgspec.Struct, gc=False):
    """What the job needs of an event; the decoder skips the rest."""

    image_id: str
    client_id: str
    measured_at: str
    red: float

    @property
    def minute(self) -> str:
        """Its window: the time is always `YYYY-MM-DDThh:mm:ss.mmmZ`, so no date is computed."""
        return self.measured_at[:16]


class Whole(Measured, kw_only=True, gc=False):
    """All of it, for those who keep it."""

    red_pixels: int = 0
    pixels: int = 0
    red_excess: float = 0.0
    red_channel: float = 0.0
    width: int = 0
    height: int = 0
    format: str = ""
    bytes: int = 0
    sha256: str = ""
    rule: str = ""
    decoder: str = ""


decode = msgspec.json.Decoder(Measured).decode
decode_whole = msgspec.json.Decoder(Whole).decode


def a_producer(job: Job) -> Producer:
    return Producer({"bootstrap.servers": job.bootstrap} | SENDING)


def polled(job: Job, consumer: Consumer) -> Iterator[list[Message]]:
    """Batches of the job, until its last event; as many events of each partition as role live takes."""
    left, most = job.events, POLL  # the first one: by then role live has no more in hand, either
    while left:
        messages = consumer.consume(min(most, left), 0.2)
        bad = [message.error() for message in messages if message.error()]
        if bad:
            raise SystemExit(f"Kafka: {bad[0]}")
        left -= len(messages)
        if messages:
            most = POLL * len(job.start)
            yield messages


def a_consumer(job: Job, **settings: Any) -> Consumer:
    """Placed at the start of the job."""
    own = {"bootstrap.servers": job.bootstrap, "group.id": job.name, "enable.auto.commit": False}
    consumer = Consumer(own | FETCHING | settings)
    consumer.assign([TopicPartition(job.topic, number, offset) for number, offset in job.start.items()])
    return consumer


def latest(bootstrap: str, topic: str, partitions: int) -> dict[bytes, bytes | None]:
    """The last committed value of every key of a changelog."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "check",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    found: dict[bytes, bytes | None] = {}
    ended = 0
    while ended < partitions:
        for message in consumer.consume(POLL, 0.2):
            if message.error():
                ended += 1
            else:
                found[message.key()] = message.value()
    consumer.close()
    return found


def alert_of(event: Measured) -> bytes:
    return msgspec.json.encode({"image_id": event.image_id, "client_id": event.client_id, "red": event.red})
