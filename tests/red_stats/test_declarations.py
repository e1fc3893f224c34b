"""A topic, a table and a kind of delivery are declared once: what was forgotten somewhere fails here."""

import dataclasses
import re
from typing import get_args

import pytest

from red_common import api_keys, audit, events
from red_stats import topics
from red_stats.app import ROLES, create_process
from red_stats.domain.delivery_kinds import READERS
from red_stats.domain.recorded_tables import RECORDED
from red_stats.kafka.dead_letters import REPLAYABLE
from red_stats.settings import Settings
from red_stats.store.clickhouse import MIGRATIONS
from red_stats.tables.declarations import changelogs_of
from red_stats.tables.deliver import DeliverTables
from red_stats.tables.live import LiveTables
from red_stats.tables.record import RecordTables

TABLES = {"live": LiveTables, "deliver": DeliverTables, "record": RecordTables}


def fatal(reason):
    raise AssertionError(reason)


@pytest.fixture
def roles(tmp_path):
    settings = Settings(data=tmp_path, secret_key="ab" * 32)
    apps, _ = create_process(settings, ROLES, fatal=fatal)
    return {app.role.states.role: app.role for app in apps}


def test_each_role_handles_exactly_the_topics_that_are_declared_as_read_by_it(roles):
    assert roles.keys() == set(get_args(topics.Role))
    for name, role in roles.items():
        assert {*role.folds, *role.recordings} == set(topics.read_by(name))


def test_each_role_holds_the_tables_of_its_declaration(roles):
    for name, role in roles.items():
        assert role.states.changelogs == changelogs_of(TABLES[name])
        assert role.states.app_id == topics.group_of(name)


def test_every_table_of_live_says_which_rows_an_erase_removes():
    by_hand = {"thresholds", "answers"}  # the client's list says that it was erased; answers are of the batch
    declared = {field.name for field in dataclasses.fields(LiveTables) if field.metadata["of_client"]}
    assert declared | by_hand == changelogs_of(LiveTables).keys()


def test_every_changelog_is_a_compacted_topic_that_is_created():
    for tables in TABLES.values():
        for changelog in changelogs_of(tables).values():
            assert changelog in topics.ALL
            assert changelog.compact


def test_what_cannot_be_read_is_the_matter_of_one_of_its_readers_and_can_be_replayed():
    for topic in topics.ALL:
        assert (topic.dead_letters_by is None) == (not topic.read_by)
        if topic.read_by:
            assert topic.dead_letters_by in topic.read_by
            assert topic in REPLAYABLE


def test_every_stored_topic_has_a_reader_and_a_table_that_a_migration_makes():
    made = "".join(path.read_text() for path in MIGRATIONS.glob("*.sql"))
    for topic in topics.ALL:
        assert (topic.stored_in is not None) == (topic in RECORDED) == ("record" in topic.read_by)
        if topic.stored_in is not None:
            assert re.search(rf"CREATE TABLE IF NOT EXISTS {topic.stored_in}\b", made)


def test_every_topic_that_becomes_deliveries_has_a_kind():
    assert READERS.keys() == set(topics.read_by("deliver"))


def test_topics_that_both_services_know_have_one_name():
    assert topics.MEASUREMENTS == events.TOPIC
    assert topics.API_KEYS == api_keys.TOPIC
    assert topics.AUDIT == audit.TOPIC
