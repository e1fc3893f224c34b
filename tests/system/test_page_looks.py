"""The page for everybody: screen readers, keyboards, phones, the dark; and what it is made of."""

import re
import uuid

import pytest
from playwright.async_api import expect

from red_stats.web.pages import PAGES
from tests.receiver import Receiver
from tests.system.looker import POPPIES, Looker, in_overview, screenshot, sign_in, until
from tests.system.up import ROOT

AXE = ROOT / "tests/system/vendor/axe.min.js"
TABS = ("Overview", "Subscriptions", "Alerts", "Deliveries", "Send images", "SQL")


@pytest.fixture
async def alerted(up):
    """A client with an alert of each kind of endpoint, one that works and one that does not."""
    client = Looker(up, f"alerted-{uuid.uuid4().hex[:6]}")
    async with Receiver(204) as good, Receiver(500) as bad:
        client.subscribed(good, description="roses", headers={"X-Team": "red"})
        client.subscribed(bad, 0.3, description="an-endpoint-with-a-long-name-" * 8)
        sent = client.send(POPPIES.read_bytes())
        client.ask("/v1/alerts", at_least=sent["position"])
        await until(lambda: client.deliveries(state="delivered") and client.deliveries(state="pending"))
        yield client


async def open_all(page, name):
    """Everything that a tab can show, one after the other, before the reader."""
    if name == "Subscriptions":
        await page.get_by_role("button", name="New secret: roses").click()
        await page.get_by_role("button", name="Make a new secret").click()
        await expect(page.get_by_text("whsec_")).to_be_visible()
        await expect(page.locator(".light", has_text="Failing")).to_be_visible()
        yield
        await page.get_by_role("button", name="New subscription").click()
        await expect(page.locator("#form-preview")).to_contain_text("alert")
        yield
        await page.get_by_role("button", name="Cancel").last.click()
        await page.get_by_role("button", name="Delete: roses").click()
    if name == "Alerts":
        await page.get_by_text("Why no. 1").first.click()
        await expect(page.locator("#alerts-list .trace")).to_be_visible()
        await expect(page.locator("#alerts-list img").first).to_be_visible()
    if name == "Deliveries":
        await page.get_by_text("Recover after an outage").click()
        await page.locator("#delivery-list summary").first.click()
        await page.get_by_text("Headers and body").first.click()
        await expect(page.get_by_role("region", name="The request")).to_be_visible()
    yield


async def violations(page):
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE.read_text())  # past the policy, which lets no script in
    found = await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_wrong_in_any_tab(page, looker, expected, scheme):
    expected.append("404")  # images that were measured elsewhere
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await page.goto(looker.up.stats)
    assert await violations(page) == []
    await in_overview(page, looker)
    if scheme == "dark":
        await screenshot(page, "page-dark")
    await page.get_by_text("As a table").click()
    await page.get_by_role("button", name="Show the images over the line").click()
    await expect(page.locator("#behind-list img").first).to_be_visible()
    for name in TABS:
        await page.get_by_role("tab", name=name).click()
        if name == "Send images":
            await page.set_input_files("#files", ROOT / "docs/images/poppies.jpg")
            await expect(page.locator("#sent canvas")).to_be_visible()
        if name == "SQL":
            await page.get_by_role("button", name="Ask").click()
            await expect(page.locator("#answer-table")).to_be_visible()
        assert await violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_wrong_in_what_is_about_alerts(page, alerted, scheme):
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await sign_in(page, alerted)
    for name in TABS[1:4]:
        await page.get_by_role("tab", name=name).click()
        async for _ in open_all(page, name):
            assert await violations(page) == []


async def test_axe_would_find_something(page, looker):
    await page.goto(looker.up.stats)
    await page.evaluate("document.querySelector('label[for=key]').remove()")
    await page.evaluate("document.querySelector('#key').removeAttribute('placeholder')")
    assert "label" in [name for name, _ in await violations(page)]


async def test_a_phone_never_scrolls_sideways(page, looker, expected):
    expected.append("404")
    await page.set_viewport_size({"width": 390, "height": 844})
    await in_overview(page, looker)
    await screenshot(page, "page-phone")
    await page.get_by_text("As a table").click()
    await page.get_by_role("button", name="Show the images over the line").click()
    await expect(page.locator("#behind-list li").first).to_be_visible()
    for name in TABS:
        await page.get_by_role("tab", name=name).click()
        if name == "SQL":
            await page.get_by_label("Question").fill("SELECT repeat('wide', 200) AS name, 1 AS x, 2 AS y")
            await page.get_by_role("button", name="Ask").click()
            await expect(page.locator("#answer-table")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390


async def test_a_phone_never_scrolls_sideways_through_alerts(page, alerted):
    await page.set_viewport_size({"width": 390, "height": 844})
    await sign_in(page, alerted)
    for name in TABS[1:4]:
        await page.get_by_role("tab", name=name).click()
        async for _ in open_all(page, name):
            assert await page.evaluate("document.documentElement.scrollWidth") <= 390
            within = await page.evaluate(
                "[...document.querySelectorAll('dialog[open]')].map((it) => it.scrollWidth - it.clientWidth)"
            )
            assert max(within, default=0) <= 0


async def test_what_is_about_alerts_can_be_done_with_keys(page, alerted):
    await sign_in(page, alerted, "#alerts")
    await page.locator("#alerts-of").focus()
    await expect(page.locator("#alerts-list img").first).to_be_visible()
    for _ in range(3):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    await page.keyboard.press("Enter")
    await expect(page.locator("#alerts-list .trace")).to_be_visible()
    await page.get_by_role("tab", name="Alerts").focus()
    await page.keyboard.press("ArrowLeft")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="New subscription")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Threshold, 0 to 1")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="New subscription")).to_be_focused()


async def test_tabs_are_one_stop_and_arrows_move_between_them(page, looker):
    await sign_in(page, looker)
    await page.get_by_role("tab", name="Overview").focus()
    for key, name in (
        ("ArrowRight", TABS[1]),
        ("End", TABS[-1]),
        ("ArrowRight", TABS[0]),
        ("ArrowLeft", TABS[-1]),
    ):
        await page.keyboard.press(key)
        await expect(page.get_by_role("tab", name=name)).to_be_focused()
        await expect(page.get_by_role("tabpanel", name=name)).to_be_visible()
        assert await page.get_by_role("tabpanel").count() == 1
    assert page.url.endswith("#sql")
    await page.reload()
    await expect(page.get_by_role("tabpanel", name="SQL")).to_be_visible()


async def test_the_page_allows_no_script_and_no_style_but_files_of_ours(page, looker):
    answer = await page.goto(looker.up.stats)
    policy = dict(
        part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["connect-src"] == f"'self' {looker.up.red}"
    assert "unsafe" not in answer.headers["content-security-policy"]


def test_every_module_of_the_page_is_small():
    sizes = {path.name: len(path.read_text().splitlines()) for path in PAGES.glob("*.js")}
    assert len(sizes) > 15
    assert {name: size for name, size in sizes.items() if size >= 150} == {}


def test_the_style_sheet_is_about_what_there_is():
    there = "\n".join(path.read_text() for path in [*PAGES.glob("*.js"), PAGES / "index.html"])
    rules = re.sub(r"\{[^{}]*\}|@media[^{]*", " ", (PAGES / "page.css").read_text())
    names = set(re.findall(r"[.#]([a-z][\w-]*)", rules))
    elements = set(re.findall(r"[a-z]\w*", re.sub(r"[.#:]+[\w-]+|\[[^]]*\]", "", rules)))
    assert {"chart", "line", "u-over"} <= names
    assert {"textarea", "td", "th", "dl"} <= elements
    ours = {one for one in names if not one.startswith("u-")}
    assert {one for one in ours if not re.search(rf"[\"' ]{one}[\"' ]", there)} == set()
    assert {one for one in elements if f"<{one}" not in there and f'lement("{one}"' not in there} == set()
