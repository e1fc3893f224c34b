"""The tab Overview: what it says is what RED_STATS answers, and it tells when it does not know."""

import asyncio
import re

import pytest
from playwright.async_api import expect

from tests.system.looker import POPPIES, Looker, in_overview, range_of, screenshot, sign_in
from tests.system.test_page_looks import violations

WHOLE = re.compile(r"\d[\d,]*")


def numbers(text):
    return [int(one.replace(",", "")) for one in WHOLE.findall(text)]


async def line(page):
    return float(await page.get_by_role("slider").get_attribute("aria-valuenow"))


async def told(page):
    """How many images are over the line, and how many there are."""
    return numbers((await page.inner_text("#over")).partition(":")[2])[:2]


async def test_the_tiles_move_when_an_image_comes(page, up):
    mover = Looker(up, "mover")
    await sign_in(page, mover)
    await expect(page.locator("#total-24h")).to_have_text("0")

    mover.send(POPPIES.read_bytes())

    await expect(page.locator("#total-24h")).to_have_text("1")
    await expect(page.locator("#tiles")).not_to_have_class(re.compile("stale"))


async def test_numbers_look_stale_while_nobody_answers_and_fresh_again_afterwards(page, up, expected):
    expected.append("ERR_FAILED")
    expected.append("ERR_INTERNET_DISCONNECTED")
    drifter = Looker(up, "drifter")
    await page.route("**/v1/live/stream", lambda route: route.abort())
    await sign_in(page, drifter)

    await expect(page.locator("#told")).to_have_text("RED_STATS does not answer.")
    await expect(page.locator("#tiles")).to_have_class("stale")

    await page.unroute("**/v1/live/stream")
    await expect(page.locator("#told")).to_contain_text("Images of client drifter, as of")
    await expect(page.locator("#tiles")).not_to_have_class("stale")


async def test_the_series_is_that_of_the_range_and_the_zone(page, looker):
    await in_overview(page, looker)
    await page.get_by_label("Range").select_option("last 7 days")
    await page.get_by_label("Time zone").select_option("Asia/Katmandu")
    shown = re.compile(r"bucket=day.*tz=Asia%2FKatmandu|tz=Asia%2FKatmandu.*bucket=day")
    async with page.expect_request(shown) as asked:
        await page.get_by_label("Bucket", exact=True).select_option("day")
    given = range_of(await asked.value)
    await expect(page.locator("#range-told")).to_contain_text("(Asia/Katmandu), by day")
    await page.get_by_text("As a table").click()

    rows = await page.locator("#series-rows tr").all_inner_texts()
    expected = looker.ask(
        "/v1/statistics/series", **given, bucket="day", tz="Asia/Katmandu", threshold=await line(page)
    )["items"]

    assert len(rows) == len(expected) == 8
    assert [numbers(row.split("\t")[1])[0] for row in rows] == [item["images"] for item in expected]
    assert [numbers(row.split("\t")[2])[0] for row in rows] == [item["over"][0] for item in expected]
    assert all("00:00" in row for row in rows[1:])  # the zone's midnight


async def test_from_and_to_are_clock_times_of_the_zone(page, looker):
    await in_overview(page, looker)
    await page.get_by_label("Time zone").select_option("America/New_York")
    await page.get_by_label("From", exact=True).fill("2026-03-07T12:00:00")
    await page.get_by_label("To", exact=True).fill("2026-03-08T12:00:00")  # clocks were set forward between
    async with page.expect_request(lambda asked: "/v1/statistics/series" in asked.url) as asked:
        await page.get_by_role("button", name="Show", exact=True).click()
    assert range_of(await asked.value) == {
        "from": "2026-03-07T17:00:00.000Z",
        "to": "2026-03-08T16:00:00.000Z",
    }


async def test_a_range_that_cannot_be_is_told_where_it_was_chosen(page, looker, expected):
    expected.append("400")
    await in_overview(page, looker)
    await page.get_by_label("From", exact=True).fill("2026-11-02T00:00:00")
    await page.get_by_label("To", exact=True).fill("2026-11-01T00:00:00")
    await page.get_by_role("button", name="Show", exact=True).click()
    await expect(page.locator("#range-wrong")).to_contain_text("from is later than to")


@pytest.mark.parametrize("name", ["From", "To"])
@pytest.mark.parametrize("text", ["", "12026-01-01T00:00:00"])
async def test_a_time_that_is_none_is_told_by_its_name(page, looker, name, text):
    await in_overview(page, looker)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    await page.get_by_label(name, exact=True).fill(text)

    await page.get_by_role("button", name="Show", exact=True).click()

    await expect(page.locator("#range-wrong")).to_have_text(
        f"{name} needs a date and a time of the years 1970 to 9999."
    )
    assert [url for url in asked if "/v1/statistics" in url] == []
    await page.get_by_label("Range").select_option("last 7 days")
    await expect(page.locator("#range-wrong")).to_be_empty()
    await expect(page.locator("#would-alert")).to_contain_text("A subscription would have raised")


async def test_nothing_is_asked_twice_and_the_buckets_again_only_for_another_threshold(page, looker):
    asked = []
    page.on("request", lambda request: asked.append(request.url.partition("?")[0]))

    def times():
        return [sum(url.endswith(f"/v1/{end}") for url in asked) for end in (
            "statistics", "statistics/series", "statistics/distribution", "subscriptions/preview"
        )]  # fmt: skip

    await in_overview(page, looker)
    assert times() == [0, 1, 1, 1]
    slider = page.get_by_role("slider", name="Threshold")
    await slider.evaluate("""line => {
      const press = (key) => line.dispatchEvent(new KeyboardEvent("keydown", { key }));
      press("ArrowRight");
      press("ArrowLeft");
    }""")  # at once, so that it rests only where it was
    await expect(page.locator("#would-alert")).to_contain_text("A subscription would have raised")
    assert times() == [0, 1, 1, 2]

    await slider.press("ArrowRight")

    await expect(page.locator("#would-alert")).to_contain_text("A subscription would have raised")
    assert times() == [0, 2, 1, 3]


async def test_a_line_that_moves_while_a_range_is_looked_up_has_buckets_of_its_own(page, looker):
    await in_overview(page, looker)
    released = asyncio.Event()

    async def hold(route):
        await released.wait()
        await route.continue_()

    await page.route("**/v1/statistics/series?*", hold)
    async with page.expect_request("**/v1/statistics/series?*"):
        await page.get_by_label("Range").select_option("last 7 days")
    await page.get_by_role("slider", name="Threshold").press("End")

    async with page.expect_request(
        lambda asked: "/v1/statistics/series" in asked.url and "threshold=1" in asked.url
    ):
        released.set()


async def test_a_threshold_that_the_browser_may_not_copy_is_told(page, looker):
    await page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    await in_overview(page, looker)
    await page.get_by_role("button", name="Copy as threshold").click()
    await expect(page.locator("#copy")).to_have_text("Not copied: 0.25")


async def test_a_threshold_is_copied_as_a_number(page, looker):
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await in_overview(page, looker)
    await page.get_by_role("button", name="Copy as threshold").click()
    await expect(page.locator("#copy")).to_have_text("Copied 0.25")
    assert await page.evaluate("navigator.clipboard.readText()") == "0.25"


async def test_the_line_tells_while_it_is_dragged_what_statistics_and_preview_answer(page, looker):
    given = await in_overview(page, looker)
    await screenshot(page, "page-overview")
    await page.locator("#would-alert").scroll_into_view_if_needed()
    handle, box = await page.locator("#line").bounding_box(), await page.locator("#histogram").bounding_box()
    await page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + 60)
    await page.mouse.down()
    for share in (0.31, 0.12, 0.087):
        await page.mouse.move(box["x"] + share * box["width"], handle["y"] + 60)
        at = await line(page)
        assert abs(at - share) < 0.002
        found = looker.ask("/v1/statistics", **given, threshold=at)
        assert await told(page) == [found["over"], found["images"]]
        assert "About" in await page.inner_text("#would-alert")
    await page.mouse.up()

    await expect(page.locator("#would-alert")).to_contain_text("A subscription would have raised")

    preview = looker.preview(**given, threshold=at)
    assert numbers(await page.inner_text("#would-alert"))[0] == preview["alerts"] == found["over"]
    assert f"{round(preview['alerts'] / 30, 1):g} a day" in await page.inner_text("#would-alert")


async def test_the_line_moves_with_keys_and_comes_to_rest(page, looker):
    given = await in_overview(page, looker)
    slider = page.get_by_role("slider", name="Threshold")
    await slider.focus()
    for key, expected in (
        ("ArrowRight", 0.26),
        ("Shift+ArrowLeft", 0.16),
        ("Home", 0),
        ("End", 1),
        ("Home", 0),
    ):
        await slider.press(key)
        assert await line(page) == expected
    await slider.press("ArrowUp")
    await expect(page.locator("#would-alert")).to_contain_text("A subscription would have raised")
    found = looker.ask("/v1/statistics", **given, threshold=0.01)
    assert await told(page) == [found["over"], found["images"]]


async def test_a_bar_shows_the_images_of_its_amounts_and_a_bucket_those_of_its_time(page, looker, expected):
    expected.append("404")  # these images were measured elsewhere
    given = await in_overview(page, looker)
    counts = looker.ask("/v1/statistics/distribution", **given, bins=100)["bins"]
    most = max(range(100), key=counts.__getitem__)
    await page.locator("#bars .reach").nth(most).click()
    await expect(page.locator("#behind-title")).to_contain_text(f"{most}.00 % to {most + 1}.00 %")
    for shown in range(12, counts[most], 12):
        await expect(page.locator("#behind-list li")).to_have_count(shown)
        await page.get_by_role("button", name="More").click()
    await expect(page.locator("#behind-list li")).to_have_count(counts[most])
    for text in await page.locator("#behind-list strong").all_inner_texts():
        assert most <= float(text.split()[0]) < most + 1

    await page.get_by_text("As a table").click()
    some = page.locator("#series-rows tr", has=page.locator("button:enabled"))  # today may have none yet
    newest = some.last
    count = numbers((await newest.inner_text()).split("\t")[1])[0]
    await newest.get_by_role("button").click()
    await expect(page.locator("#behind-list li")).to_have_count(min(count, 12))
    link = page.locator("#behind-list a").first  # the image that was sent is the newest
    assert (await link.get_attribute("href")).startswith("blob:")
    assert await link.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 640


async def test_the_bars_can_be_chosen_with_keys_in_a_table_of_them(page, looker, expected):
    expected.append("404")  # these images were measured elsewhere
    await page.emulate_media(reduced_motion="reduce")
    given = await in_overview(page, looker)
    counts = looker.ask("/v1/statistics/distribution", **given, bins=100)["bins"]
    bars = [number for number, count in enumerate(counts) if count]

    await page.locator("summary", has_text="The bars in a table").focus()
    await page.keyboard.press("Enter")

    rows = await page.locator("#bar-rows tr").all_inner_texts()
    assert [row.split("\t")[:2] for row in rows] == [
        [f"{number} % to {number + 1} %", f"{counts[number]:,}"] for number in bars
    ]
    assert await violations(page) == []
    await page.keyboard.press("Tab")  # to the table, which scrolls
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    name = f"Show the images with {bars[1]} % to {bars[1] + 1} %"
    await expect(page.get_by_role("button", name=name)).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#behind-title")).to_be_focused()
    await expect(page.locator("#behind-title")).to_contain_text(f"{bars[1]}.00 % to {bars[1] + 1}.00 %")
    await expect(page.locator("#behind-list li")).to_have_count(min(counts[bars[1]], 12))


@pytest.mark.parametrize("place", [0.1, 0.9])
async def test_a_bucket_of_the_chart_is_all_of_its_column(page, looker, expected, place):
    expected.append("404")  # these images were measured elsewhere
    await in_overview(page, looker)
    names = await page.locator("#series-rows tr td:first-child").all_text_contents()
    await page.locator("#series-told").scroll_into_view_if_needed()
    box = await page.locator("#series .u-over").bounding_box()
    for number in (len(names) - 1, len(names) - 2):
        across = box["x"] + box["width"] * (number + place) / len(names)
        await page.mouse.move(across, box["y"] + box["height"] / 2)
        await expect(page.locator("#series-told")).to_contain_text(f"{names[number]}: ")
    await page.mouse.click(across, box["y"] + box["height"] / 2)
    await expect(page.locator("#behind-title")).to_have_text(f"Images from {names[number]}")
