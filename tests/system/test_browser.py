"""The interfaces of both services, and the page over HTTPS, in a real Chromium."""

import asyncio

import pytest
from playwright.async_api import expect

from tests.system.up import ROOT


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


async def test_the_first_page_and_the_interface_work_over_https(up_with_tls, page):
    sent = up_with_tls.command("send", str(ROOT / "docs/images/poppies.jpg"), "--json")
    assert sent.returncode == 0, sent.stderr

    await page.goto(up_with_tls.stats)
    await page.fill("#key", up_with_tls.keys["demo"]["api_key"])
    await page.click("text=Sign in")

    await expect(page.locator("#total-24h")).to_have_text("1")
    async with asyncio.timeout(20):  # what is counted is recorded a moment later
        while not await page.locator("#behind-list li").count():
            await page.click("#show-over")
            await expect(page.locator("#behind-told")).not_to_have_text("Looking.")
    await expect(page.locator("#behind-list img")).to_be_visible()
    await page.goto(f"{up_with_tls.red}/docs")
    await page.wait_for_selector("text=Whether RED can be used")
