"""The pages in a real Chromium: no network but ours, no error in the console, and they work."""

import os
import shutil

import pytest
from playwright.async_api import async_playwright

from tests.system.up import ROOT

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip


@pytest.fixture
async def page():
    """A page that fails the test when it asks another host or meets an error."""
    if CHROMIUM is None:
        assert "CI" not in os.environ, "CI has no Chromium"
        pytest.skip("no Chromium here: apt-get install chromium")
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = await browser.new_page(ignore_https_errors=True)  # Chromium has its own authorities
        wrong = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("request", lambda asked: wrong.append(asked.url) if "127.0.0.1" not in asked.url
                and not asked.url.startswith("data:") else None)  # fmt: skip
        yield page
        await browser.close()
        assert wrong == []


@pytest.mark.parametrize("service", ["red", "stats"])
async def test_the_interface_can_be_read_and_tried(up, page, service):
    await page.goto(f"{getattr(up, service)}/docs")
    await page.click(".btn.authorize")
    await page.fill(".modal-ux input", up.keys["demo"]["api_key"])
    await page.click(".modal-ux .btn.authorize")
    await page.click(".modal-ux .btn-done")
    await page.click(
        f"text={'Whether RED can be used' if service == 'red' else 'The counts of the last minute'}"
    )
    await page.click("text=Execute")
    answered = page.locator(".live-responses-table tbody .response-col_status").first
    await answered.wait_for()

    status = await answered.inner_text()

    assert status.split()[0] == "200"


async def test_the_first_page_shows_the_counts_of_a_key(up, demo, page):
    red = type("S", (), {"url": up.red})
    item = await demo.sent(red, (ROOT / "docs/images/poppies.jpg").read_bytes())
    await demo.call("GET", f"{up.stats}/v1/live?at_least={item['position']}")

    await page.goto(up.stats)
    await page.fill("#key", up.keys["demo"]["api_key"])
    await page.wait_for_selector("#histogram rect", state="attached")

    assert int(await page.inner_text("#total-24h")) >= 1
    assert await page.locator("#histogram rect").count() == 100
    assert "Client demo" in await page.inner_text("#told")


async def test_the_first_page_and_the_interface_work_over_https(up_with_tls, page):
    sent = up_with_tls.command("send", str(ROOT / "docs/images/poppies.jpg"), "--json")
    assert sent.returncode == 0, sent.stderr

    await page.goto(up_with_tls.stats)
    await page.fill("#key", up_with_tls.keys["demo"]["api_key"])
    await page.wait_for_selector("#histogram rect", state="attached")

    assert int(await page.inner_text("#total-24h")) >= 1
    await page.goto(f"{up_with_tls.red}/docs")
    await page.wait_for_selector("text=Whether RED can be used")
