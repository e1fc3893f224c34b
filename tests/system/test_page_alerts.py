"""The tab Alerts: new ones come by themselves, each with its picture and why there is one."""

import asyncio
import json

from playwright.async_api import expect

from tests.system.looker import POPPIES, Looker, screenshot, sign_in, until

STREAM = "**/v1/alerts/stream"


def items(page):
    return page.locator("#alerts-list > li")


def of(page):
    return page.get_by_role("tabpanel", name="Alerts").get_by_label("Subscription")


async def test_a_new_alert_comes_by_itself_with_its_picture(page, up, receiver):
    watcher = Looker(up, "watcher")
    watcher.subscribed(receiver, description="roses")
    await sign_in(page, watcher, "#alerts")
    await expect(page.locator("#alerts-told")).to_have_text("No alerts so far.")
    await expect(page.locator("#alerts-live")).to_have_text("New alerts come by themselves.")

    for count in (1, 2):
        watcher.send(POPPIES.read_bytes())
        await expect(items(page)).to_have_count(count)
        await expect(items(page).first).to_contain_text("43.39 % red")
        await expect(items(page).first).to_contain_text(f"roses: over 25.00 %, no. {count}")

    picture = items(page).first.locator("img")
    assert await picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 640
    await page.reload()  # it is the same list
    await expect(items(page)).to_have_count(2)
    await expect(items(page).first).to_contain_text("no. 2")


async def test_why_there_is_an_alert_is_told_from_the_image_to_the_last_attempt(page, up, receiver):
    asker = Looker(up, "asker")
    subscription = asker.subscribed(receiver, description="roses", trigger="crossing", rearm_below=0.2)
    receiver.answer = 500
    image = asker.send(POPPIES.read_bytes())
    await receiver.until(1)
    receiver.answer = 204
    [delivery] = await until(lambda: asker.deliveries(state="delivered"))
    await sign_in(page, asker, "#alerts")
    await items(page).get_by_text("Why no. 1").click()

    line = items(page).get_by_role("list").get_by_role("listitem")
    attempts = delivery["attempts"]
    assert len(attempts) >= 2
    told = (
        ("Image measured: 43.39 % red", "640 × 420", image["image_id"]),
        ("Over the threshold of version 1: 25.00 %", "until one has at most 20.00 %",
         f"In force since position {subscription['in_force_from']}, still in force"),
        ("Alert no. 1 raised",),
        ("Webhook queued", delivery["webhook_id"]),
        ("Attempt 1: answered 500 in", "Next one due", "by the schedule of retries"),
        *[(f"Attempt {one['attempt']}: answered {one['status']} in {one['ms']} ms",) for one in attempts[1:]],
        ("Delivered",),
    )  # fmt: skip
    await expect(line).to_have_count(len(told))
    for number, words in enumerate(told):
        for part in words:
            await expect(line.nth(number)).to_contain_text(part)
    await expect(items(page).locator("img")).to_be_visible()
    await screenshot(page, "page-alerts")


async def test_those_of_one_subscription_come_in_pages_newest_first(page, up, receiver):
    owner = Looker(up, "owner-of-two")
    one = owner.subscribed(receiver, description="roses")
    owner.subscribed(receiver, description="tulips", trigger="crossing")
    for _ in range(27):
        sent = owner.send(POPPIES.read_bytes())
    owner.ask("/v1/alerts", at_least=sent["position"])
    await sign_in(page, owner, "#alerts")
    await of(page).select_option("roses")

    await expect(items(page)).to_have_count(24)
    await page.get_by_role("button", name="More").click()
    await expect(items(page)).to_have_count(27)

    await expect(page.get_by_role("button", name="More")).to_be_hidden()
    expected = owner.ask("/v1/alerts", subscription=one["id"])["items"]
    shown = await items(page).locator(".words").all_inner_texts()
    assert [f"no. {alert['seq']}\n" in words for alert, words in zip(expected[::-1], shown, strict=True)] == [
        True
    ] * 27
    await of(page).select_option("tulips")
    await expect(items(page)).to_have_count(1)
    sent = owner.send(POPPIES.read_bytes())
    owner.ask("/v1/alerts", at_least=sent["position"])  # or it comes by the stream, on top of the 24
    await of(page).select_option("all of them")
    await expect(items(page)).to_have_count(24)


async def test_a_stream_that_ends_goes_on_behind_the_last_alert(page, up, receiver):
    reader = Looker(up, "reader")
    subscription = reader.subscribed(receiver)
    sent = reader.send(POPPIES.read_bytes())
    [alert] = reader.ask("/v1/alerts", at_least=sent["position"])["items"]
    invented = alert | {
        "id": "another",
        "seq": 2,
        "subscription_id": subscription["id"],
        "position": "0:999999",
    }
    behind = asyncio.Queue()

    async def end_once(route):
        behind.put_nowait(route.request.headers.get("last-event-id"))
        if behind.qsize() > 1:
            return await route.continue_()
        event = f"event: alert\nid: {alert['position']}\ndata: {json.dumps(invented)}\n\n"
        await route.fulfill(body=event, content_type="text/event-stream")

    await page.route(STREAM, end_once)
    await sign_in(page, reader, "#alerts")
    await expect(items(page)).to_have_count(2)
    await until(lambda: behind.qsize() > 1)

    assert [behind.get_nowait(), behind.get_nowait()] == [None, alert["position"]]


async def test_what_is_raised_between_the_list_and_the_stream_is_there(page, up, receiver):
    between = Looker(up, "between")
    between.subscribed(receiver)
    held = asyncio.Queue()
    await page.route(STREAM, held.put)
    await sign_in(page, between, "#alerts")
    route = await held.get()
    await expect(page.locator("#alerts-told")).to_have_text("No alerts so far.")
    between.send(POPPIES.read_bytes())
    await receiver.until(1)

    await route.continue_()

    await expect(items(page)).to_have_count(1)
    await page.get_by_role("tab", name="SQL").click()
    await page.get_by_role("tab", name="Alerts").click()
    route = await held.get()
    await expect(page.locator("#alerts-told")).to_have_text("1 alert")
    for _ in range(30):  # more than a page
        between.send(POPPIES.read_bytes())
    await receiver.until(31)

    await route.continue_()

    await expect(items(page)).to_have_count(31)


async def test_what_is_raised_before_the_stream_brings_no_page_back_that_was_read(page, up, receiver):
    hasty = Looker(up, "hasty")
    one = hasty.subscribed(receiver)
    for _ in range(27):
        sent = hasty.send(POPPIES.read_bytes())
    hasty.ask("/v1/alerts", at_least=sent["position"])
    streams, lists, counts = asyncio.Queue(), asyncio.Queue(), asyncio.Queue()
    await page.route(STREAM, streams.put)
    await sign_in(page, hasty, "#alerts")
    await expect(items(page)).to_have_count(24)
    stream = await streams.get()
    await page.route(
        lambda address: f"subscription={one['id']}" in address and "at_least" not in address, lists.put
    )
    await page.route("**/v1/live", counts.put)
    await of(page).select_option(one["id"])
    first = await lists.get()

    await stream.continue_()  # while the first page is under way
    await expect(page.locator("#alerts-live")).to_have_text("New alerts come by themselves.")
    await first.continue_()
    await expect(items(page)).to_have_count(24)
    await page.get_by_role("button", name="More").click()
    await (await lists.get()).continue_()
    await expect(items(page)).to_have_count(27)
    async with page.expect_response(lambda answer: "at_least" in answer.url):
        await (await counts.get()).continue_()

    hasty.send(POPPIES.read_bytes())
    await expect(items(page)).to_have_count(28)
    await expect(page.locator("#alerts-told")).to_have_text("28 alerts")
    await expect(page.get_by_role("button", name="More")).to_be_hidden()


async def test_a_stream_is_open_only_while_one_looks(page, up):
    visitor = Looker(up, "visitor")
    ended = asyncio.Event()
    page.on("requestfailed", lambda asked: ended.set() if asked.url.endswith("/v1/alerts/stream") else None)
    await sign_in(page, visitor, "#alerts")
    await expect(page.locator("#alerts-live")).to_have_text("New alerts come by themselves.")

    await page.get_by_role("tab", name="SQL").click()

    await asyncio.wait_for(ended.wait(), 20)
    await page.get_by_role("tab", name="Alerts").click()
    await expect(page.locator("#alerts-live")).to_have_text("New alerts come by themselves.")
