"""One child's store, player and counter; what happened goes to stdout as JSON lines."""

import contextlib
import json
import os
import signal
import threading
import time
from pathlib import Path

from red_stats.store.clickhouse import Store, StoreError
from tests.faults.sink.counter import Counter
from tests.faults.sink.log import Log
from tests.faults.sink.recorder import Player

ATTEMPTS = 4  # then there is room again
PATIENCE = 3.0  # or after as many seconds, for what does not ask
BASE, OP, MORE = 30, 40, 50  # the log is in the store to BASE; the insert under test is to OP


def tell(**what):
    print(json.dumps(what), flush=True)


def die():
    """As kill -9, right after the acknowledgement."""
    os.kill(os.getpid(), signal.SIGKILL)


class Child:
    """One store, one player, one counter."""

    def __init__(self, asked):
        self.asked = asked
        self.log = Log(**asked.get("log", {}))
        self.store = Store.in_folder(Path(asked["folder"]), min_free_bytes=asked.get("min_free", 0))
        self.counter = Counter()
        self._attempts = 0
        self.player = Player(self.store, self.log, pause=self._pause)

    def _pause(self, seconds):
        self._attempts += 1
        if self._attempts >= ATTEMPTS:
            self.counter.disarm()
        time.sleep(seconds if self.asked.get("patient") else 0.01)

    @contextlib.contextmanager
    def armed(self):
        """The operation under test."""
        watchdog = threading.Timer(PATIENCE, self.counter.disarm)
        watchdog.daemon = True
        watchdog.start()
        self.counter.arm(self.asked["mode"], self.asked["at"])
        yield
        tell(count=self.counter.disarm())

    def quiet(self):
        """No merge but those asked for, so that positions mean the same in every run."""
        self.store.command(
            "ALTER TABLE red.measurements MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1"
        )

    def read(self):
        """As a web request does, again and again."""
        while True:
            with contextlib.suppress(StoreError):
                self.store.query("SELECT count(), sum(red_bp) FROM red.measurements")

    def probe(self):
        """Whether a merge would be done now."""
        while True:
            time.sleep(0.25)
            try:
                self.store.command("OPTIMIZE TABLE red.measurements FINAL")
                tell(merged=True, at=time.time())
            except StoreError as error:
                tell(merged=False, at=time.time(), why=str(error)[:100])
