"""The tab for sending images: each is measured by RED, and its red pixels are marked by the same rule."""

import io

import numpy as np
import pytest
from PIL import Image
from playwright.async_api import expect

from red_service.redness.rule import red_mask
from tests.system.looker import POPPIES, Looker, screenshot, sign_in
from tests.system.up import ROOT

DROP = """([name, type, content]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(content)], name, { type }));
  for (const kind of ["dragover", "drop"])
    document.querySelector("#drop").dispatchEvent(
      new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def noise(channels, seed=1):
    """Many colours, most of them near red, and with a fourth channel of any transparency but half."""
    chance = np.random.default_rng(seed)
    pixels = chance.integers(0, 256, (120, 160, channels), dtype=np.uint8)
    pixels[:60, :, 0] |= 0xC0
    pixels[:60, :, 1:3] >>= 1
    if channels == 4:
        pixels[:, :, 3] = chance.choice([0, 100, 255], (120, 160))
    return pixels


@pytest.mark.parametrize("channels", [3, 4])
async def test_a_dropped_png_has_as_many_pixels_marked_as_red_counts(page, up, channels):
    dropper = Looker(up, f"dropper-{channels}")
    content = png(noise(channels))
    truth = dropper.send(content)["red_pixels"]
    assert 1000 < truth < 120 * 160
    await sign_in(page, dropper, "#images")

    await page.evaluate(DROP, ["noise.png", "image/png", list(content)])

    await expect(page.locator("#sent canvas")).to_have_attribute("data-count", str(truth))
    await expect(page.locator("#sent li")).to_contain_text(f"{truth:,} of 19,200 pixels are red")
    await expect(page.locator("#sent li")).not_to_contain_text("about")


async def test_the_rule_in_the_browser_is_red_1_for_every_colour(page, up):
    """All 2^24 colours, summed up for each R: how many are red, and a checksum of which."""
    green, blue = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8), indexing="ij")
    place = np.arange(65536, dtype=np.int64).reshape(256, 256)
    expected = []
    for value in range(256):
        mask = red_mask(np.full_like(green, value), green, blue)
        expected.append([int(mask.sum()), int(place[mask].sum())])
    await page.goto(up.stats)

    found = await page.evaluate("""async () => {
      const { isRed } = await import("/static/redmask.js");
      return Array.from({ length: 256 }, (_, r) => {
        let [count, sum] = [0, 0];
        for (let g = 0; g < 256; g++) for (let b = 0; b < 256; b++)
          if (isRed(r, g, b, 255)) { count++; sum += g * 256 + b; }
        return [count, sum];
      });
    }""")

    assert found == expected
    assert not await page.evaluate("import('/static/redmask.js').then(({ isRed }) => isRed(255, 0, 0, 127))")


async def test_chosen_images_are_measured_counted_and_the_bad_ones_told(page, up, expected):
    expected.append("415")
    sender = Looker(up, "sender")
    await sign_in(page, sender, "#images")
    await page.set_input_files("#files", [POPPIES, ROOT / "docs/images/red-chart.png", ROOT / "README.md"])

    await expect(page.locator("#sent-told")).to_have_text("2 measured, 1 refused")

    await expect(page.locator("#sent li", has_text="poppies.jpg")).to_contain_text("43.39 %")
    await expect(page.locator("#sent li", has_text="README.md")).to_contain_text("not a JPEG, PNG")
    await screenshot(page, "page-images")
    await page.get_by_role("tab", name="Overview").click()
    await expect(page.locator("#total-24h")).to_have_text("2")


async def test_an_image_that_red_is_too_busy_for_is_sent_again_and_counted_once(page, up, expected):
    expected.append("503")
    patient = Looker(up, "patient")
    await sign_in(page, patient, "#images")
    keys = []

    async def busy_once(route):
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) > 1:
            return await route.continue_()
        answer = await route.fetch()  # it was counted, and nobody heard
        assert answer.status == 200
        problem = '{"status": 503, "code": "unknown_outcome", "detail": "Try again."}'
        origin = {"Access-Control-Allow-Origin": up.stats}
        await route.fulfill(status=503, body=problem, headers=origin, content_type="application/problem+json")

    await page.route(
        f"{up.red}/red",
        lambda route: busy_once(route) if route.request.method == "POST" else route.continue_(),
    )
    await page.set_input_files("#files", [POPPIES])

    await expect(page.locator("#sent-told")).to_have_text("1 measured")
    assert len(set(keys)) == 1
    assert len(keys) == 2
    await page.get_by_role("tab", name="Overview").click()
    await expect(page.locator("#total-24h")).to_have_text("1")


async def test_an_image_is_never_sent_again_with_the_key_of_somebody_else(page, up, expected):
    expected.append("503")
    first, second = Looker(up, "first"), Looker(up, "second")
    sent = []

    async def busy_for_the_first(route):
        if route.request.method != "POST":
            return await route.continue_()
        sent.append(route.request.headers["authorization"])
        if len(sent) > 1:
            return await route.continue_()
        problem = '{"status": 503, "code": "overloaded", "detail": "Try again."}'
        origin = {
            "Access-Control-Allow-Origin": up.stats,
            "Access-Control-Expose-Headers": "Retry-After",
            "Retry-After": "50",  # long enough that the key is forgotten before it is sent again
        }
        await route.fulfill(status=503, body=problem, headers=origin, content_type="application/problem+json")

    await page.clock.install()
    await page.route(f"{up.red}/red", busy_for_the_first)
    await sign_in(page, first, "#images")
    async with page.expect_response(f"{up.red}/red"):
        await page.set_input_files("#files", [POPPIES])
    await page.get_by_role("button", name="Forget the key").click()
    await sign_in(page, second, "#images", stays=True)

    await page.clock.run_for(60_000)
    await page.set_input_files("#files", [ROOT / "docs/images/red-chart.png"])

    await expect(page.locator("#sent-told")).to_have_text("1 measured")
    await expect(page.locator("#sent li")).to_have_count(1)
    assert sent == [f"Bearer {key}" for key in (first.key, second.key)]


async def test_a_key_that_is_revoked_while_images_are_sent_leads_back_with_the_reason(page, up, expected):
    expected.append("401")
    sender = Looker(up, "sender-without-key")
    await page.route("**/v1/live/stream", lambda route: route.fulfill(content_type="text/event-stream"))
    await sign_in(page, sender, "#images")
    await page.route(f"{up.red}/red", lambda route: route.fulfill(
        status=401, body='{"status": 401, "detail": "Send a valid API key."}',
        headers={"Access-Control-Allow-Origin": up.stats},
    ) if route.request.method == "POST" else route.continue_())  # fmt: skip

    await page.set_input_files("#files", [POPPIES])

    await expect(page.locator("#refused")).to_have_text("Send a valid API key.")
