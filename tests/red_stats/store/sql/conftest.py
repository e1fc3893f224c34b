"""Rows of two clients in a real store."""

from functools import partial

import pytest

from red_stats.domain.sql_limits import Limits
from red_stats.store.sql.limits import settings_of
from red_stats.store.sql.questions import SqlQuestion, SqlText, answer
from tests.red_stats.conftest import an_open_store

DEFAULT = Limits()


@pytest.fixture(scope="package")
def store(tmp_path_factory):
    with an_open_store(tmp_path_factory.mktemp("chdb")) as store:
        for table, column in (("measurements", "image_id"), ("alerts", "id"), ("deliveries", "id")):
            attempt = ", attempt" if table == "deliveries" else ""
            for client in ("anna", "eve", ""):
                store.command(
                    f"INSERT INTO red.{table} (client_id, {column}, kafka_partition, kafka_offset{attempt})"
                    f" SELECT '{client}', '{client}-image', 3, number + 7{', number' if attempt else ''}"
                    " FROM numbers(3)"
                )
        yield store


def asked_of(store, text, format="TSV", limits=DEFAULT, client="anna", **values):
    return answer(store, client, SqlText(text, values, format), "name", limits).body.decode()


@pytest.fixture
def ask(store):
    """Anna's question, through both fences."""
    return partial(asked_of, store)


@pytest.fixture
def ask_engine(store):
    """SQL that nobody has judged, with anna's settings; `without` are left out."""

    def asked(sql, *without, format="TSV", limits=DEFAULT):
        settings = settings_of("anna", "name", limits)
        kept = {name: value for name, value in settings.items() if name not in without}
        return store.answer(SqlQuestion(sql, format, kept, str(limits))).decode(errors="replace")

    return asked
