"""The store for commands: that of the running worker, or opened here if none runs."""

import contextlib
import time
from collections.abc import Callable, Iterator

from red_stats.settings import Settings
from red_stats.store import queries
from red_stats.store.clickhouse import Store, StoreError
from red_stats.store.queries import Queries
from red_stats.store.query_server import FILE, RemoteStore

WAIT_SECONDS = 20.0  # how long a worker that has the store may take to answer


@contextlib.contextmanager
def store_opened(
    settings: Settings, *, pause: Callable[[float], None] = time.sleep, seconds: float = WAIT_SECONDS
) -> Iterator[Queries]:
    """The store, open until the block ends.

    Raises:
        StoreError, StoreUnusable: no worker answers, and the store cannot be opened here.
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
            if not remote.owner_lives() or waited >= seconds:
                break
        pause(0.5)
        waited += 0.5
    store = Store.in_folder(settings.store_folder)
    store.open()
    try:
        yield store
    finally:
        store.close()
