"""The store for a command of ours: the running worker's, or opened here when none runs."""

import contextlib
import time
from collections.abc import Callable, Iterator

from red_stats.settings import Settings
from red_stats.store import queries
from red_stats.store.clickhouse import Store, StoreError
from red_stats.store.queries import Queries
from red_stats.store.query_server import FILE, RemoteStore

PATIENCE = 20.0


@contextlib.contextmanager
def a_store(
    settings: Settings, *, pause: Callable[[float], None] = time.sleep, patience: float = PATIENCE
) -> Iterator[Queries]:
    """Something that answers queries.

    Raises:
        StoreError, StoreUnusable: neither a worker answers nor can it be opened here.
    """
    if settings.clickhouse:
        store = Store(settings.clickhouse)
        try:
            yield store
        finally:
            store.close()
        return
    remote = RemoteStore(settings.data)
    waited = 0.0
    while (settings.data / FILE).exists():
        try:
            remote.query(*queries.alive())
            yield remote
            return
        except StoreError:
            if not remote.owner_lives() or waited >= patience:
                break
        pause(0.5)
        waited += 0.5
    store = Store.in_folder(settings.store_folder)
    store.open()
    try:
        yield store
    finally:
        store.close()
