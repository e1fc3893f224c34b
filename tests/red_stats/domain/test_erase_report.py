"""A report of an erasure tells every topic that still names the client."""

from red_stats import topics
from red_stats.domain.erase_report import stays

DAY_MS = 86_400_000


def test_every_topic_that_names_the_client_is_told_and_until_when():
    told = {one["topic"]: one["until"] for one in stays(topics.wanted(4, 3), 0)}

    changelogs = {topic for topic in topics.ALL if topic.endswith(("-changelog", "-owners"))}
    assert set(told) == set(topics.ALL) - changelogs  # of which tombstones are left
    assert told["red.measurements"] == "1970-01-04T00:00:00.000Z"
    assert told["red.alerts"] == "1970-01-31T00:00:00.000Z"
    for_ever = {topics.SUBSCRIPTION_COMMANDS, topics.COMMAND_RESULTS, topics.SUBSCRIPTIONS, topics.API_KEYS}
    assert {topic for topic, until in told.items() if until is None} == for_ever
    assert {one["topic"]: one["until"] for one in stays(topics.wanted(4), 0)}["red.measurements"] is None
