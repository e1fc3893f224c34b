"""Signing in on the page: the key lives in one tab, and nowhere else."""

import pytest
from playwright.async_api import expect

from tests.receiver import Receiver
from tests.system.looker import POPPIES, Looker, sign_in, until

INSIDE = "#inside"


async def test_who_signs_in_sees_his_counts_and_a_reload_keeps_him_in(page, looker):
    await sign_in(page, looker)
    await expect(page.locator("#told")).to_contain_text("Images of client looker, as of")

    await page.reload()

    await expect(page.locator("#told")).to_contain_text("Images of client looker, as of")
    await expect(page.get_by_label("API key")).to_be_hidden()


async def test_the_key_is_in_no_address_and_not_in_what_other_tabs_see(page, looker):
    addresses = []
    page.context.on("request", lambda asked: addresses.append(asked.url))
    await sign_in(page, looker)
    for name in ("Subscriptions", "Alerts", "Deliveries", "Send images", "SQL", "Overview"):
        await page.get_by_role("tab", name=name).click()
        assert page.url.endswith(f"#{'images' if name == 'Send images' else name.lower()}")
    other = await page.context.new_page()
    await other.goto(looker.up.stats)

    await expect(other.get_by_label("API key")).to_be_visible()

    assert await other.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    assert addresses
    assert [
        one for one in [page.url, *addresses] if looker.key in one or looker.key.rpartition("_")[2] in one
    ] == []


@pytest.mark.parametrize("key", ["wrong", "red_x_y", "schlüssel"])
async def test_a_wrong_key_is_refused_with_the_reason_and_not_kept(page, looker, expected, key):
    expected.append("401")
    await page.goto(looker.up.stats)
    await page.get_by_label("API key").fill(key)
    await page.get_by_role("button", name="Sign in").click()

    await expect(page.locator("#refused")).not_to_be_empty()

    await expect(page.locator(INSIDE)).to_be_hidden()
    assert await page.evaluate("sessionStorage.length") == 0


async def test_a_forgotten_key_is_gone_with_all_that_it_showed(page, looker, expected):
    expected.append("404")  # most images of this client were measured elsewhere
    await sign_in(page, looker)
    await page.get_by_role("button", name="Show the images over the line").click()
    await expect(page.locator("#behind-list img").first).to_be_visible()

    await page.get_by_role("button", name="Forget the key").click()

    await expect(page.get_by_label("API key")).to_be_focused()
    await expect(page.locator(INSIDE)).to_be_hidden()
    for what in ("#behind-list li", "#bars rect", "#series-rows tr", "#series canvas", "#subscribed-rows tr"):
        assert await page.locator(what).count() == 0
    for what in ("#over", "#would-alert", "#range-told", "#total-24h"):
        assert not any(one.isdigit() for one in await page.locator(what).text_content())
    await page.reload()
    await expect(page.get_by_label("API key")).to_be_visible()
    assert await page.evaluate("sessionStorage.length") == 0


async def test_a_forgotten_key_is_gone_with_its_subscriptions_alerts_and_deliveries(page, up):
    keeper = Looker(up, "keeper")
    async with Receiver(204) as receiver:
        keeper.subscribed(receiver, description="roses")
        keeper.send(POPPIES.read_bytes())
        await until(lambda: keeper.deliveries(state="delivered"))
        for hash, rows in (
            ("#subscriptions", "#subscription-list li"),
            ("#alerts", "#alerts-list li"),
            ("#deliveries", "#delivery-list li"),
        ):
            await page.goto(f"{up.stats}/{hash}")
            if hash == "#subscriptions":
                await sign_in(page, keeper, hash)
                await page.get_by_role("button", name="New secret").click()
                await page.get_by_role("button", name="Make a new secret").click()
                await expect(page.get_by_text("whsec_")).to_be_visible()
            else:
                await sign_in(page, keeper, hash, stays=True)
            await expect(page.locator(rows)).not_to_have_count(0)

            await page.get_by_role("button", name="Forget the key").click()

            await expect(page.locator(rows)).to_have_count(0)
            content = await page.content()
            assert "roses" not in content
            assert "whsec_" not in content


async def test_a_key_that_is_revoked_while_one_looks_leads_back_with_the_reason(page, up, expected):
    expected.append("401")
    gone = Looker(up, "gone")
    await sign_in(page, gone)
    await expect(page.locator("#told")).to_contain_text("Images of client gone")

    assert up.command("keys", "revoke", gone.key_id).returncode == 0

    await expect(page.get_by_label("API key")).to_be_visible()
    await expect(page.locator("#refused")).to_contain_text("valid API key")
