"""The tab Subscriptions: made from the dragged threshold, changed, tested, and a secret shown once."""

import json
import re

import pytest
from playwright.async_api import expect

from tests.receiver import Receiver
from tests.system.looker import POPPIES, Looker, in_overview, sign_in

SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]+")


def form(page):
    return page.get_by_role("dialog")


def card(page, words):
    return page.locator("#subscription-list li", has_text=words)


async def test_one_is_made_from_the_dragged_threshold_with_its_preview_beside_it(page, up, receiver):
    maker = Looker(up, "maker")
    sent = maker.send(POPPIES.read_bytes())
    maker.ask("/v1/measurements", at_least=sent["position"])
    given = await in_overview(page, maker)
    await page.get_by_role("slider", name="Threshold").press("ArrowRight")
    await page.get_by_role("button", name="Subscribe at this threshold").click()

    await expect(form(page).get_by_label("Threshold")).to_have_value("0.26")
    preview = maker.preview(**given, threshold=0.26)
    assert preview["alerts"] == 1
    await expect(form(page).locator("#form-preview")).to_contain_text("1 alert about 1 image, 0 a day")
    await form(page).get_by_label("Threshold").fill("0.9")
    await expect(form(page).locator("#form-preview")).to_contain_text("0 alerts about 1 image,")
    await form(page).get_by_label("Threshold").fill("0.3")
    await form(page).get_by_label("Webhook URL").fill(receiver.url)
    await form(page).get_by_label("Description").fill("poppies")
    await form(page).get_by_label("Webhook URL").press("Enter")

    secret = await page.get_by_text(SECRET).inner_text()
    await expect(form(page)).to_be_hidden()
    [made] = maker.ask("/v1/subscriptions")["items"]
    assert (made["threshold"], made["description"], made["max_age"]) == (0.3, "poppies", 86_400)
    receiver.secrets.append(secret)
    maker.send(POPPIES.read_bytes())
    await receiver.until(1)
    assert receiver.got[0].verified


async def test_a_secret_is_shown_once_and_copied_and_both_sign_until_the_overlap_ends(
    page, up, receiver, expected
):
    expected.append("404")  # until the answer to the test event is recorded
    rotator = Looker(up, "rotator")
    old = rotator.subscribed(receiver)["secret"]
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await sign_in(page, rotator, "#subscriptions")
    await page.get_by_role("button", name="New secret").click()
    await page.get_by_label("The old one signs as well").select_option("for an hour")
    await page.get_by_role("button", name="Make a new secret").click()

    new = await page.get_by_text(SECRET).inner_text()
    assert new != old
    await page.get_by_role("button", name="Copy the secret").click()
    await expect(page.get_by_text("Copied.")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == new
    await page.get_by_role("button", name="Pause").click()
    await page.get_by_role("button", name="Resume").click()
    await expect(card(page, "Version 4")).to_contain_text(new)  # it stays until the reader has it
    await page.get_by_role("button", name="I have it").click()
    await expect(page.get_by_text(SECRET)).to_have_count(0)
    kept = await page.evaluate(
        "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])"
    )
    assert "whsec" not in kept
    await page.reload()
    await expect(card(page, "Version 4")).to_be_visible()
    assert "whsec" not in await page.content()

    rotator.send(POPPIES.read_bytes())
    await receiver.until(1)
    assert len(receiver.got[0].signatures.split()) == 2
    receiver.secrets[:] = [new]
    await page.get_by_role("button", name="Send a test").click()
    await receiver.until(2)
    assert receiver.got[1].verified


async def test_a_change_sends_what_was_changed_and_nothing_else(page, up, receiver):
    changer = Looker(up, "changer")
    changer.subscribed(receiver, description="roses", headers={"X-Team": "red"})
    await sign_in(page, changer, "#subscriptions")
    await page.get_by_role("button", name="Edit").click()
    await form(page).get_by_label("Trigger").select_option("crossing")
    await form(page).get_by_label("Armed again").fill("0.2")
    async with page.expect_request(lambda asked: asked.method == "PATCH") as patched:
        await form(page).get_by_role("button", name="Save").click()

    assert json.loads((await patched.value).post_data) == {"trigger": "crossing", "rearm_below": 0.2}
    await expect(card(page, "Version 2")).to_contain_text("armed again at 20.00 % or less")
    await page.get_by_role("button", name="Edit").click()
    await form(page).get_by_label("Trigger").select_option("each")
    await form(page).get_by_label("Further headers").fill("X-Team: ***\nX-New: two: words")
    await form(page).get_by_label("No image older").fill("")
    await form(page).get_by_role("button", name="Save").click()

    await expect(card(page, "Version 3")).to_contain_text("images of any age; header X-Team; header X-New")
    [now] = changer.ask("/v1/subscriptions")["items"]
    assert (now["trigger"], now["rearm_below"], now["max_age"], now["description"]) == (
        "each",
        None,
        None,
        "roses",
    )
    await page.get_by_role("button", name="Edit").click()
    await form(page).get_by_role("button", name="Save").click()
    await expect(form(page)).to_be_hidden()
    assert changer.ask("/v1/subscriptions")["items"] == [now]  # no version for nothing


async def test_what_is_refused_is_told_in_the_form_and_what_was_filled_in_stays(page, up, expected):
    expected.append("422")
    refused = Looker(up, "refused")
    await sign_in(page, refused, "#subscriptions")
    await expect(page.locator("#subscriptions-told")).to_have_text("No subscriptions yet.")
    await page.get_by_role("button", name="New subscription").click()
    await form(page).get_by_label("Webhook URL").fill("http://10.0.0.1/hook")
    await form(page).get_by_label("Description").fill("inside")
    await form(page).get_by_role("button", name="Subscribe").click()

    await expect(form(page).get_by_role("alert")).not_to_be_empty()

    await expect(form(page).get_by_label("Description")).to_have_value("inside")
    assert refused.ask("/v1/subscriptions")["items"] == []
    await page.keyboard.press("Escape")
    await expect(form(page)).to_be_hidden()
    await page.get_by_role("button", name="New subscription").click()
    await expect(page.locator("#form-wrong")).to_be_empty()
    await expect(form(page).get_by_label("Webhook URL")).to_have_value("")


async def test_an_answer_that_is_lost_makes_no_second_subscription(page, up, receiver, expected):
    expected.append("ERR_FAILED")
    unlucky = Looker(up, "unlucky")
    keys = []

    async def lost_once(route):
        if route.request.method != "POST":
            return await route.continue_()
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) > 1:
            return await route.continue_()
        assert (await route.fetch()).status == 201
        await route.abort()

    await page.route("**/v1/subscriptions", lost_once)
    await sign_in(page, unlucky, "#subscriptions")
    await page.get_by_role("button", name="New subscription").click()
    await form(page).get_by_label("Webhook URL").fill(receiver.url)
    await form(page).get_by_role("button", name="Subscribe").click()
    await expect(form(page).get_by_role("alert")).to_have_text("RED_STATS does not answer.")
    await form(page).get_by_role("button", name="Subscribe").click()

    await expect(page.get_by_text(SECRET)).to_be_visible()
    assert len(keys) == 2
    assert len(unlucky.ask("/v1/subscriptions")["items"]) == 1


@pytest.mark.parametrize("status", [204, 503])
async def test_a_test_event_tells_what_the_endpoint_answered(page, up, receiver, expected, status):
    expected.append("404")  # until the answer is recorded
    tester = Looker(up, f"tester-{status}")
    tester.subscribed(receiver)
    receiver.answer = status
    await sign_in(page, tester, "#subscriptions")
    await page.get_by_role("button", name="Send a test").click()

    await expect(page.get_by_text(f"The endpoint answered {status} in")).to_be_visible(timeout=60_000)
    assert [got.body["type"] for got in receiver.got] == ["red.test"]


async def test_the_light_tells_in_words_how_an_endpoint_does(page, up, receiver):
    looked_at = Looker(up, "looked-at")
    looked_at.subscribed(receiver, description="roses")
    await sign_in(page, looked_at, "#subscriptions")
    light = card(page, "roses").locator(".light")
    await expect(light).to_contain_text("Nothing sent yet")
    await expect(light).to_contain_text("0 pending, 0 held")

    receiver.answer = 500
    looked_at.send(POPPIES.read_bytes())

    await expect(light).to_contain_text(
        re.compile("Failing since .*last answer 500.*1 pending"), timeout=60_000
    )
    await page.get_by_role("button", name="Pause").press("Enter")
    await expect(light).to_contain_text("Paused by you: no alerts are raised")
    assert looked_at.ask("/v1/subscriptions")["items"][0]["enabled"] is False
    await expect(page.get_by_role("button", name="Resume")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(card(page, "Version 3")).to_be_visible()
    assert looked_at.ask("/v1/subscriptions")["items"][0]["enabled"] is True


async def test_deleting_asks(page, up, receiver):
    deleter = Looker(up, "deleter")
    deleter.subscribed(receiver, description="roses")
    await sign_in(page, deleter, "#subscriptions")
    await page.get_by_role("button", name="Delete: roses").click()
    await page.get_by_role("button", name="Cancel").click()
    assert len(deleter.ask("/v1/subscriptions")["items"]) == 1
    await page.get_by_role("button", name="Delete: roses").click()
    await page.get_by_role("button", name="Delete it").click()

    await expect(page.locator("#subscriptions-told")).to_have_text("No subscriptions yet.")

    await expect(page.get_by_role("button", name="New subscription")).to_be_focused()
    await expect(card(page, "roses")).to_have_count(0)
    assert deleter.ask("/v1/subscriptions")["items"] == []


async def test_what_was_told_of_a_lost_endpoint_is_there_and_who_asked_for_it_is_told(page, up, receiver):
    loser = Looker(up, "loser")
    told = Receiver(204)
    async with told:
        receiver.answer = 410
        loser.subscribed(receiver, description="roses")
        await sign_in(page, loser, "#subscriptions")
        await page.get_by_role("button", name="New subscription").click()
        await form(page).get_by_label("Threshold").fill("1")
        await form(page).get_by_label("Webhook URL").fill(told.url)
        await form(page).get_by_label("Also tell it").check()
        await form(page).get_by_role("button", name="Subscribe").click()
        await expect(card(page, "notices about other endpoints")).to_be_visible()

        loser.send(POPPIES.read_bytes())

        await told.until(1)
        assert told.got[0].body["type"] == "red.notice"
        await page.reload()
        roses = card(page, "roses")
        await expect(roses).to_contain_text("Disabled, the endpoint answered 410 Gone")
        await roses.get_by_text("Changes").click()
        for _ in range(2):  # it stays open while how it does is told anew
            await expect(roses.get_by_text("it was disabled, the endpoint answered 410 Gone")).to_be_visible()
            async with page.expect_response(re.compile("/v1/subscriptions/[^?]+$")):
                await roses.locator(".light").evaluate("line => line.id = 'old'")
            await expect(page.locator("#old")).to_have_count(0)
        await expect(roses.locator("summary")).to_be_focused()
