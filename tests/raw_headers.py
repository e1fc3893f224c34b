"""Records as only clients in other languages send them: a header key that is no UTF-8."""

from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c


async def produce_raw_header(bootstrap, topic, partition, key, value):
    """One record whose header has the two bytes FF FE for its key; returns (topic, partition, offset)."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        batch = producer.create_batch()
        batch.append(timestamp=None, key=key, value=value, headers=[("@@", b"1"), ("fine", None)])
        built = bytearray(bytes(batch._build()).replace(b"@@", b"\xff\xfe"))
        built[17:21] = calc_crc32c(bytes(built[21:])).to_bytes(4, "big")
        batch._buffer = built
        sent = await (await producer.send_batch(batch, topic, partition=partition))
    return topic, partition, sent.offset
