"""The tab Deliveries: found by subscription, state and time, opened to the bytes, and sent again."""

from datetime import datetime
from zoneinfo import ZoneInfo

from playwright.async_api import expect

from tests.receiver import Receiver
from tests.system.looker import POPPIES, Looker, sign_in, until

BERLIN = ZoneInfo("Europe/Berlin")  # where the browser is


def items(page):
    return page.locator("#delivery-list > li")


def of(page):
    return page.get_by_role("tabpanel", name="Deliveries").get_by_label("Subscription", exact=True)


async def opened(page, words):
    one = items(page).filter(has_text=words)
    await one.locator("summary").first.click()
    return one


async def delivered(looker, count):
    return await until(lambda: len(found := looker.deliveries(state="delivered")) == count and found)


async def test_they_are_found_by_subscription_state_and_time(page, up, receiver):
    finder = Looker(up, "finder")
    async with Receiver(500) as failing:
        finder.subscribed(receiver, description="roses")
        finder.subscribed(failing, description="tulips")
        for _ in range(2):
            finder.send(POPPIES.read_bytes())
        await delivered(finder, 2)
        every = await until(lambda: len(found := finder.deliveries()) == 4 and found)
        await sign_in(page, finder, "#deliveries")
        await expect(page.locator("#deliveries-told")).to_have_text("4 deliveries")
        await page.get_by_label("State").select_option("delivered")
        await expect(items(page)).to_have_count(2)
        await expect(items(page).filter(has_text="roses")).to_have_count(2)
        await page.get_by_label("State").select_option("waiting to be sent")
        await expect(items(page).filter(has_text="tulips")).to_have_count(2)
        await page.get_by_label("State").select_option("any")
        await of(page).select_option("tulips")
        await expect(page.locator("#deliveries-told")).to_have_text("2 deliveries")
        await of(page).select_option("all of them")
        times = [datetime.fromisoformat(one["created_at"]).astimezone(BERLIN) for one in every]
        for label, expected in (("Made from", "No deliveries."), ("Made before", "4 deliveries")):
            after_all = max(times).replace(year=max(times).year + 1)
            await page.get_by_label(label).fill(f"{after_all:%Y-%m-%dT%H:%M:%S}")
            await page.get_by_role("button", name="Show", exact=True).click()
            await expect(page.locator("#deliveries-told")).to_have_text(expected)
            await page.get_by_label(label).fill("")


async def test_one_opens_to_its_attempts_and_the_bytes_that_were_sent(page, up, receiver):
    reader = Looker(up, "reader-of-bytes")
    reader.subscribed(receiver)
    receiver.answer = 500
    reader.send(POPPIES.read_bytes())
    await receiver.until(1)
    receiver.answer = 204
    [delivery] = await delivered(reader, 1)
    await sign_in(page, reader, "#deliveries")
    one = await opened(page, "Delivered")

    for attempt in delivery["attempts"]:
        await expect(one).to_contain_text(
            f"Attempt {attempt['attempt']}: answered {attempt['status']} in {attempt['ms']} ms"
        )
    await expect(one).to_contain_text(f"first byte {delivery['attempts'][0]['timing']['first_byte']} ms")
    await one.get_by_text("Headers and body").click()
    shown = one.get_by_role("region", name="The request")
    await expect(shown).to_contain_text(f"webhook-id: {receiver.got[0].id}")
    head, _, body = (await shown.inner_text()).partition("\n\n")
    assert body.encode() == receiver.got[0].raw
    assert f"webhook-timestamp: {receiver.got[0].timestamp} " in head


async def test_what_has_ended_is_sent_again_and_the_answer_shown(page, up, receiver):
    again = Looker(up, "again")
    subscription = again.subscribed(receiver)
    again.send(POPPIES.read_bytes())
    await delivered(again, 1)
    await sign_in(page, again, "#deliveries")
    one = await opened(page, "Delivered")
    await one.get_by_role("button", name="Redeliver").click()

    await expect(one).to_contain_text("Attempt 2: answered 204", timeout=60_000)
    assert receiver.got[0][1] == receiver.got[1][1]
    assert receiver.got[0].raw == receiver.got[1].raw
    test = again.call("POST", f"/v1/subscriptions/{subscription['id']}/test")["delivery_id"]
    await delivered(again, 2)
    await page.get_by_role("button", name="Show", exact=True).click()
    one = await opened(page, "Test event")
    await expect(one).to_contain_text(test)
    await expect(one.get_by_role("button", name="Redeliver")).to_be_hidden()


async def test_why_it_cannot_be_sent_again_is_told_where_that_was_asked(page, up, receiver, expected):
    expected.append("409")
    stopped = Looker(up, "stopped")
    subscription = stopped.subscribed(receiver)
    stopped.send(POPPIES.read_bytes())
    await delivered(stopped, 1)
    stopped.call("PATCH", f"/v1/subscriptions/{subscription['id']}", enabled=False)
    await sign_in(page, stopped, "#deliveries")
    one = await opened(page, "Delivered")
    await one.get_by_role("button", name="Redeliver").click()
    await expect(one.get_by_role("alert").last).to_contain_text("has to be enabled first")
    await page.get_by_text("Recover after an outage").click()
    await page.get_by_label("Images measured since").fill("2026-01-01T00:00:00")
    await page.get_by_role("button", name="Count").click()
    await expect(page.locator("#recover-wrong")).to_contain_text("has to be enabled first")


async def test_recover_tells_how_many_before_it_sends_any(page, up, receiver):
    patient = Looker(up, "recoverer")
    patient.subscribed(receiver, description="roses")
    for _ in range(2):
        patient.send(POPPIES.read_bytes())
    await delivered(patient, 2)
    await sign_in(page, patient, "#subscriptions")
    await page.get_by_role("button", name="Deliveries: roses").click()
    await page.get_by_text("Recover after an outage").click()
    await page.get_by_label("Images measured since").fill("2026-01-01T00:00:00")
    await page.get_by_role("button", name="Count").click()
    await expect(page.locator("#recover-told")).to_contain_text("Nothing is to be sent again")
    await page.get_by_label("also what was delivered").check()
    await expect(page.locator("#recover-told")).to_be_empty()
    await page.get_by_role("button", name="Count").click()
    send = page.get_by_role("button", name="Send 2 deliveries again")
    await expect(send).to_be_visible()
    assert len(receiver.got) == 2

    await page.get_by_label("Images measured since").fill("2026-01-02T00:00:00")
    await expect(send).to_be_hidden()  # nobody has counted that
    await page.get_by_role("button", name="Count").click()
    await send.click()

    await expect(page.locator("#recover-told")).to_have_text("2 deliveries go out again.")
    await receiver.until(4)
    assert len({(got.id, got.raw) for got in receiver.got}) == 2
