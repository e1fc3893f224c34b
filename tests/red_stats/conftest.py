"""A real store for the tests of one module."""

import pytest

from red_stats.store.clickhouse import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store.in_folder(tmp_path_factory.mktemp("chdb"), min_free_bytes=0)
    store.open()
    yield store
    store.close()
