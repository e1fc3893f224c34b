import pytest

from red_stats import topics


async def test_existing_topics_are_checked_not_trusted(kafka):
    again = await topics.ensure_topics(kafka, 4)
    assert {t.name for t in again} >= {"red.measurements", "red.subscriptions", "red.dead-letters"}

    with pytest.raises(topics.TopicMismatch, match=r"red\.measurements has 4 partitions, not 3"):
        await topics.ensure_topics(kafka, 3)
