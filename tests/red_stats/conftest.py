"""A real store for the tests of one module, or of one test."""

from contextlib import contextmanager

import pytest

from red_stats.store.clickhouse import Store


@contextmanager
def an_open_store(folder):
    store = Store.in_folder(folder, min_free_bytes=0)
    store.open()
    yield store
    store.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with an_open_store(tmp_path_factory.mktemp("chdb")) as store:
        yield store


@pytest.fixture
def empty_store(tmp_path):
    with an_open_store(tmp_path / "chdb") as store:
        yield store
