import pytest

from red_common.kafka.connection import KafkaConnection
from red_stats.kafka.topic_admin import TopicMismatch, ensure_topics


async def test_existing_topics_are_checked_not_trusted(kafka):
    again = await ensure_topics(KafkaConnection(kafka), 4)
    assert {t.name for t in again} >= {"red.measurements", "red.subscriptions", "red.dead-letters"}

    with pytest.raises(TopicMismatch, match=r"red\.measurements has 4 partitions, not 3"):
        await ensure_topics(KafkaConnection(kafka), 3)
