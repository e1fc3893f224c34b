"""`red-stats up` as the system under test."""

import asyncio
import signal
import subprocess

import aiohttp
import psutil

from tests.faults.harness.system import SETTINGS, is_ready
from tests.system.up import Up


class Supervised(Up):
    """`red-stats up`: its children are started again by itself, and it by us."""

    def __init__(self, folder):
        super().__init__(folder)
        self.bootstrap = f"127.0.0.1:{self.ports['RED_KAFKA_PORT']}"
        self.red_urls, self.stats_urls = [self.red], [self.stats]
        self.starts = []

    @property
    def environment(self):
        return super().environment | SETTINGS

    async def start_up(self):
        """Start it as often as it refuses: what it left behind may still hold its ports."""
        for tried in range(20):
            try:
                self.starts.append((tried, await asyncio.to_thread(self.start)))
                return
            except AssertionError:
                if tried == 19 or self.process.poll() is None:
                    raise
                await asyncio.sleep(0.5)

    async def until_ready(self, seconds=60):
        """Both services answer."""
        async with aiohttp.ClientSession() as session, asyncio.timeout(seconds):
            for url in (self.red, self.stats):
                while not await is_ready(session, url):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)

    async def kill_child(self, word):
        """SIGKILL the child with that word in its command line, as soon as there is one."""
        async with asyncio.timeout(30):
            while True:
                try:
                    self.child(word).send_signal(signal.SIGKILL)
                    return
                except (StopIteration, psutil.Error):
                    await asyncio.sleep(0.05)

    async def end(self):
        """Stop it in order."""
        try:
            await asyncio.to_thread(self.stop)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def deaths(self):
        """What it has said about children that died."""
        return [line for line in self.err.read_text().splitlines() if " died (" in line]
