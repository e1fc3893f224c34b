"""Somebody who looks at the page: a client with a past, and what he does in the browser."""

import asyncio
import json
import os
import random
import time
import urllib.error
import urllib.request
from urllib.parse import urlencode

from aiokafka import AIOKafkaProducer
from playwright.async_api import expect

from red_stats import topics
from tests.builders import a_measurement
from tests.system.up import ROOT

DAY = 86_400_000
IMAGES = 600  # of the last four weeks
POPPIES = ROOT / "docs/images/poppies.jpg"


class Looker:
    """A client of an `up`; `ask` is what his key answers beside the page."""

    def __init__(self, up, client_id="looker", scopes=("measure", "statistics", "subscriptions", "sql")):
        self.up, self.client_id = up, client_id
        given = [word for scope in scopes for word in ("--scope", scope)]
        made = json.loads(up.command("keys", "create", client_id, *given, "--json").stdout)
        self.key, self.key_id = made["api_key"], made["key_id"]
        for service in (up.stats, up.red):  # both know it within a second
            while self._status(f"{service}/nothing") == 401:
                time.sleep(0.02)

    def _status(self, url):
        try:
            self._asked(url)
        except urllib.error.HTTPError as error:
            return error.code
        return 200

    def with_a_past(self):
        asyncio.run(self._measured())
        sent = self.send(POPPIES.read_bytes())
        self.ask(
            f"/v1/statistics?from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z&at_least={sent['position']}"
        )
        return self

    async def _measured(self):
        chance, now = random.Random(3), int(time.time() * 1000)
        async with AIOKafkaProducer(
            bootstrap_servers=f"127.0.0.1:{self.up.ports['RED_KAFKA_PORT']}", enable_idempotence=True
        ) as producer:
            for number in range(IMAGES):
                red = round(chance.betavariate(1.3, 5), 4)
                at = now - chance.randrange(DAY // 12, 28 * DAY)
                value = a_measurement(
                    self.client_id,
                    red,
                    at,
                    width=64,
                    height=42,
                    bytes=1234,
                    image_id=f"from-elsewhere-{number}",
                )
                await producer.send(topics.MEASUREMENTS, value, self.client_id.encode())

    def _asked(self, url, **options):
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/octet-stream"}
        asked = urllib.request.Request(url, headers=headers, **options)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)

    def ask(self, path, **parameters):
        query = f"?{urlencode(parameters)}" if parameters else ""
        return self._asked(self.up.stats + path + query)

    def call(self, method, path, **body):
        data = json.dumps(body).encode() if body else None
        return self._asked(self.up.stats + path, data=data, method=method)

    def subscribed(self, receiver, threshold=0.25, **fields):
        """A subscription whose webhooks the receiver verifies."""
        made = self.call("POST", "/v1/subscriptions", webhook_url=receiver.url, threshold=threshold, **fields)
        receiver.secrets.append(made["secret"])
        return made

    def deliveries(self, **parameters):
        return self.ask("/v1/deliveries", **parameters)["items"]

    def preview(self, **body):
        return self.call("POST", "/v1/subscriptions/preview", **body)

    def send(self, content):
        return self._asked(f"{self.up.red}/red", data=content, method="POST")


async def sign_in(page, looker, hash="", stays=False):
    """Signed in; who `stays` is on the page already."""
    if not stays:
        await page.goto(f"{looker.up.stats}/{hash}")
    await page.get_by_label("API key").fill(looker.key)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("tablist")).to_be_visible()


async def until(wanted, seconds=60):
    """What `wanted()` gives, once that is something; it asks what is recorded a little later."""
    async with asyncio.timeout(seconds):
        while not (found := wanted()):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    return found


async def in_overview(page, looker):
    """Signed in, with the last 30 days before him; the range as the page has asked for it."""
    async with page.expect_request(lambda asked: "/v1/statistics/series" in asked.url) as asked:
        await sign_in(page, looker)
    await expect(page.locator("#would-alert")).to_contain_text("A subscription would have raised")
    return range_of(await asked.value)


def range_of(request):
    given = dict(part.split("=") for part in request.url.partition("?")[2].split("&"))
    return {name: given[name].replace("%3A", ":") for name in ("from", "to")}


async def screenshot(page, name):
    """A picture for the docs, when RED_SCREENSHOTS asks for it."""
    if "RED_SCREENSHOTS" in os.environ:
        path = ROOT / "docs/images" / f"{name}.png"
        await page.screenshot(path=path, full_page=page.viewport_size["width"] > 390)
