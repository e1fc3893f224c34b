"""What a child does to its store, under the counter or after it.

`python -m tests.faults.sink.driver '{"do": "insert", ...}'`
"""

import asyncio
import json
import logging
import os
import sys
import threading
import time
from pathlib import Path

from red_stats.store.clickhouse import StoreError, StoreUnusable
from tests.faults.sink import races
from tests.faults.sink.broken import BREAK
from tests.faults.sink.child import BASE, MORE, OP, Child, die, tell
from tests.faults.sink.recorder import FATAL
from tests.faults.sink.rules import ROWS, judged, kept


class Driver(Child):
    """Its public methods are what can be asked for."""

    async def prepare(self):
        """A store with three batches; none when the first insert is under test."""
        self.store.open()
        if self.asked.get("quiet", True):
            self.quiet()
        await self.player.go_on(self.asked.get("upto", BASE), 10)
        self.store.close()

    async def create(self):
        """The folder is empty: everything is made, and the first batch."""
        with self.armed():
            try:
                self.store.open()
            except (StoreError, StoreUnusable) as error:
                tell(error=str(error)[:200])
                os._exit(FATAL)
        tell(acknowledged=await self.player.record(await self.player.take_over(), 10))
        die()

    async def insert(self):
        """One batch, acknowledged, and more on top of it when asked; then dead."""
        self.store.open()
        first = await self.player.take_over()
        for _ in range(self.asked.get("readers", 0)):
            threading.Thread(target=self.read, daemon=True).start()
        with self.armed():
            tell(acknowledged=await self.player.record(first, OP))
        if self.asked.get("more"):
            tell(acknowledged=await self.player.record(OP, MORE))
        die()

    async def hole(self):
        """The newest part is damaged as a write that failed in a merge leaves it; then an insert fails."""
        self.store.open()
        first = await self.player.take_over()
        tell(acknowledged=first - 1)
        newest = (
            "SELECT argMax(path, max_block_number) FROM system.parts WHERE table = 'measurements' AND active"
        )
        os.truncate(Path(self.store.query(newest)[0][0]) / "count.txt", 0)
        with self.armed():
            tell(acknowledged=await self.player.record(first, OP))
        die()

    async def merge(self):
        """All parts become one, whatever comes of it; then dead, at once or when the sources are gone."""
        self.store.open()
        await self.player.take_over()
        if self.asked.get("linger"):
            self.store.command(
                "ALTER TABLE red.measurements MODIFY SETTING old_parts_lifetime = 1,"
                " cleanup_delay_period = 1, cleanup_delay_period_random_add = 0"
            )
            self.store.reopen()
        tell(acknowledged=BASE - 1)
        with self.armed():
            try:
                self.store.command("OPTIMIZE TABLE red.measurements FINAL")
            except StoreError as error:
                tell(error=str(error)[:100])
        if self.asked.get("more"):
            tell(acknowledged=await self.player.record(BASE, OP))
        await asyncio.sleep(self.asked.get("linger", 0))
        die()

    async def race(self):
        """Rivals or a zombie of `races`, on an empty table."""
        self.store.open()
        tell(**getattr(races, self.asked["race"])(self, **self.asked.get("with", {})))
        self.store.close()

    async def stream(self):
        """The log, batch after batch, however long the disk is full; then dead, as asked."""
        self.store.open()
        if self.asked.get("probe"):
            threading.Thread(target=self.probe, daemon=True).start()
        first = await self.player.take_over()
        for start in range(first, self.log.end, 10):
            await asyncio.sleep(self.asked.get("every", 0.01))
            tell(acknowledged=await self.player.record(start, start + 10), at=time.time())
        die()

    async def recover(self):
        """A fresh process: go on as the Recorder does, to the end; judged alive and reopened."""
        self.store.open()
        rows = self.store.query(ROWS, {"p": self.log.partition})
        fell = kept(rows, self.log.rows(), self.asked["acknowledged"])
        await self.player.go_on(self.log.end, 7)
        verdicts = []
        for _ in range(2):
            verdicts.append(judged(self.store.query(ROWS, {"p": self.log.partition}), self.log.rows()))
            self.store.reopen()
        worst = max(verdicts, key=lambda verdict: len(verdict.findings))
        tell(lost=worst.lost, doubled=worst.doubled, fell=fell, findings=worst.findings)
        self.store.close()


def main():
    asked = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.WARNING)
    if asked.get("break"):
        BREAK[asked["break"]]()
    driver = Driver(asked)
    asyncio.run(getattr(driver, asked["do"])())
    sys.stdout.flush()
    os._exit(0)  # threads of the engine are not waited for


if __name__ == "__main__":
    main()
