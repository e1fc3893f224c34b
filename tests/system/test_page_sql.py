"""The tab SQL: questions, their answers as table, chart and files, and errors where they are."""

import asyncio
import json

from playwright.async_api import expect

from tests.system.looker import Looker, sign_in


async def ask(page, looker, query):
    await sign_in(page, looker, "#sql")
    await page.get_by_label("Question").fill(query)
    async with page.expect_response("**/v1/sql") as answered:
        await page.get_by_label("Question").press("Control+Enter")
    answer = await answered.value
    assert (answer.request.method, answer.request.post_data) == ("POST", query)
    return answer


async def test_an_answer_is_a_table_a_chart_and_files(page, looker):
    hours = "toDateTime('2026-11-29 10:00:00') + INTERVAL number HOUR AS hour, number + 3 AS images"
    await ask(page, looker, f"SELECT {hours}, if(number = 0, 'a \"b\", c', NULL) AS name FROM numbers(2)")
    await expect(page.locator("#answer-told")).to_have_text("2 rows")
    assert await page.locator("#answer-table tr").all_inner_texts() == [
        "hour\timages\tname", '2026-11-29 10:00:00\t3\ta "b", c', "2026-11-29 11:00:00\t4\t",
    ]  # fmt: skip
    await expect(page.get_by_role("img", name="images by hour, as a chart")).to_be_visible()
    async with page.expect_download() as downloaded:
        await page.get_by_role("button", name="Download CSV").click()
    text = (await (await downloaded.value).path()).read_text()
    assert text == 'hour,images,name\n2026-11-29 10:00:00,3,"a ""b"", c"\n2026-11-29 11:00:00,4,\n'
    async with page.expect_download() as downloaded:
        await page.get_by_role("button", name="Download JSON").click()
    rows = json.loads((await (await downloaded.value).path()).read_text())
    assert [row["name"] for row in rows] == ['a "b", c', None]


async def test_only_the_clients_own_images_are_counted(page, looker):
    await ask(page, looker, "SELECT count() AS images, uniqExact(client_id) AS clients FROM measurements")
    images = looker.ask("/v1/statistics?from=1970-01-01T00:00:00Z&to=9999-01-01T00:00:00Z")["images"]
    assert (await page.locator("#answer-table tr").all_inner_texts())[1] == f"{images}\t1"


async def test_an_error_is_shown_where_it_is(page, looker, expected):
    expected.append("400")
    await ask(page, looker, "SELECT 1\nFROM here")
    await expect(page.locator("#query-wrong")).to_contain_text("There is no table 'here'")
    await expect(page.locator("#answer")).to_be_hidden()
    chosen = await page.evaluate(
        "(q => q.value.slice(q.selectionStart, q.selectionEnd))(document.querySelector('#query'))"
    )
    assert chosen == "here"


async def test_what_the_engine_says_is_told(page, looker, expected):
    expected.append("422")
    await ask(page, looker, "SELECT toUInt8('no number')")
    await expect(page.locator("#query-wrong")).not_to_be_empty()
    await expect(page.locator("#answer")).to_be_hidden()


async def test_who_lacks_the_scope_is_told_how_to_get_it(page, up, expected):
    expected.append("403")
    await ask(page, Looker(up, "without-sql", scopes=("statistics",)), "SELECT 1")
    await expect(page.locator("#query-wrong")).to_contain_text("--scope sql")


async def test_every_example_has_an_answer(page, looker):
    await sign_in(page, looker, "#sql")
    for name in await page.locator("#examples option").all_inner_texts():
        await page.get_by_label("Example").select_option(name)
        async with page.expect_response("**/v1/sql") as answered:
            await page.get_by_role("button", name="Ask").click()
        assert (await answered.value).status == 200, name
        await expect(page.locator("#answer-told")).to_contain_text("row")


async def test_a_new_question_ends_the_one_before(page, looker):
    held, ended = asyncio.Queue(), []
    page.on("requestfailed", lambda request: ended.append(request.post_data))
    await page.route("**/v1/sql", held.put)
    await sign_in(page, looker, "#sql")
    for query in ("SELECT 1", "SELECT 2"):
        await page.get_by_label("Question").fill(query)
        await page.get_by_role("button", name="Ask").click()
        route = await held.get()
    await route.continue_()

    await expect(page.locator("#answer-told")).to_have_text("1 row")
    assert await page.locator("#answer-table td").all_inner_texts() == ["2"]
    assert ended == ["SELECT 1"]

    await page.get_by_role("button", name="Ask").click()
    await held.get()
    async with page.expect_event("requestfailed"):
        await page.get_by_role("button", name="Forget the key").click()
