"""The tiles of the page when the stream of counts is refused, ends or tells nonsense."""

import re

from playwright.async_api import expect

from tests.system.looker import sign_in

LISTENERS = """
  window.listeners = 0;
  const add = EventTarget.prototype.addEventListener;
  EventTarget.prototype.addEventListener = function (...given) {
    if (this instanceof AbortSignal) window.listeners += 1;
    return add.apply(this, given);
  };
"""
STREAM = "**/v1/live/stream"


async def counted(page, asked):
    """How many streams were asked for, once all requests of before are known here."""
    await page.evaluate("fetch('/static/page.css').then((answer) => answer.text())")
    return len(asked)


async def test_who_has_too_many_streams_asks_again_when_it_is_time(page, looker, expected):
    expected.append("429")
    asked = []

    async def refuse(route):
        asked.append(route)
        body = '{"status": 429, "code": "too_many_streams", "detail": "20 streams are open."}'
        await route.fulfill(status=429, body=body, headers={"Retry-After": "600"})

    await page.clock.install()
    await page.route(STREAM, refuse)
    await sign_in(page, looker)
    await expect(page.locator("#told")).to_have_text("20 streams are open.")

    await page.clock.run_for(300_000)
    assert await counted(page, asked) == 1

    async with page.expect_request(STREAM):
        await page.clock.run_for(301_000)


async def test_asking_again_and_again_leaves_nothing_behind(page, looker):
    asked = []

    async def end(route):
        asked.append(route)
        await route.fulfill(body="", content_type="text/event-stream")

    await page.add_init_script(LISTENERS)
    await page.clock.install()
    await page.route(STREAM, end)
    await sign_in(page, looker)
    while len(asked) < 5:
        async with page.expect_response(STREAM):
            await page.clock.run_for(2_000)
    assert await page.evaluate("window.listeners") == 0


async def test_a_stream_that_is_cut_is_asked_for_again(page, looker):
    await page.add_init_script("""
      const { fetch } = window;
      window.cut = 0;
      window.fetch = async (address, options) => {
        if (window.cut || !address.endsWith("/v1/live/stream")) return fetch(address, options);
        window.cut += 1;
        return new Response(new ReadableStream({ start: (it) => it.error(new TypeError("network error")) }));
      };
    """)
    await sign_in(page, looker)
    await expect(page.locator("#told")).to_contain_text("Images of client looker, as of")
    assert await page.evaluate("window.cut") == 1


async def test_what_the_page_cannot_show_is_no_matter_of_the_network(page, looker, expected):
    expected.append("Cannot convert undefined or null")
    await page.route(STREAM, lambda route: route.fulfill(
        body="event: live\ndata: {}\n\n", content_type="text/event-stream"
    ))  # fmt: skip
    async with page.context.expect_event("weberror"):
        await sign_in(page, looker)
    await expect(page.locator("#told")).to_have_text("This page cannot show the counts: load it again.")
    await expect(page.locator("#tiles")).to_have_class(re.compile("stale"))
