"""The tab SQL: questions, their answers as table, chart and files, and errors where they are."""

import asyncio
import json
import re

from playwright.async_api import expect

from tests.services import ALL
from tests.system.looker import Looker, sign_in

ASKED = re.compile(r"/v1/sql\b")


async def ask(page, looker, query):
    await sign_in(page, looker, "#sql")
    await page.get_by_label("Question").fill(query)
    async with page.expect_response(ASKED) as answered:
        await page.get_by_label("Question").press("Control+Enter")
    answer = await answered.value
    assert (answer.request.method, answer.request.post_data) == ("POST", query)
    return answer


async def downloaded(page, name):
    async with page.expect_download() as coming:
        await page.get_by_role("button", name=name).click()
    return (await (await coming.value).path()).read_text()


async def test_an_answer_is_a_table_a_chart_and_files(page, looker):
    hours = "toDateTime('2026-11-29 10:00:00') + INTERVAL number HOUR AS hour, number + 3 AS images"
    await ask(page, looker, f"SELECT {hours}, if(number = 0, 'a \"b\", c', NULL) AS name FROM numbers(2)")
    await expect(page.locator("#answer-told")).to_have_text("2 rows")
    assert await page.locator("#answer-table tr").all_inner_texts() == [
        "hour\timages\tname", '2026-11-29 10:00:00\t3\ta "b", c', "2026-11-29 11:00:00\t4\tNULL",
    ]  # fmt: skip
    await expect(page.get_by_role("img", name="images by hour, as a chart")).to_be_visible()
    assert (
        await downloaded(page, "Download CSV")
        == 'hour,images,name\n2026-11-29 10:00:00,3,"a ""b"", c"\n2026-11-29 11:00:00,4,\n'
    )
    rows = json.loads(await downloaded(page, "Download JSON"))
    assert rows == [
        {"hour": "2026-11-29 10:00:00", "images": 3, "name": 'a "b", c'},
        {"hour": "2026-11-29 11:00:00", "images": 4, "name": None},
    ]


async def test_numbers_keep_every_digit_in_the_table_and_in_files(page, looker):
    await ask(
        page, looker,
        "SELECT 18446744073709551615 AS most, toInt64('-9223372036854775807') AS least, 0 / 0 AS none"
        ", [1, NULL, 18446744073709551615] AS list, toDecimal128('0.12345678901234567890', 20) AS part"
        ", 1e30 AS far",
    )  # fmt: skip
    await expect(page.locator("#answer-told")).to_have_text("1 row")
    shown = ["18446744073709551615", "-9223372036854775807", "nan", "[1,NULL,18446744073709551615]"]
    shown += ["0.1234567890123456789", "1e30"]
    assert await page.locator("#answer-table td").all_inner_texts() == shown
    _, row = (await downloaded(page, "Download CSV")).splitlines()
    assert row == ",".join(f'"{one}"' if "," in one else one for one in shown)
    text = await downloaded(page, "Download JSON")
    assert json.loads(text, parse_float=str) == [
        {
            "most": 2**64 - 1,
            "least": -(2**63) + 1,
            "none": "nan",
            "list": [1, None, 2**64 - 1],
            "part": "0.1234567890123456789",
            "far": "1e30",
        }
    ]


async def test_columns_of_one_name_stand_each_in_its_place(page, looker):
    await ask(page, looker, "SELECT number, toString(number + 5) AS text, number FROM numbers(2)")
    await expect(page.locator("#answer-told")).to_have_text("2 rows")
    assert await page.locator("#answer-table tr").all_inner_texts() == [
        "number\ttext\tnumber", "0\t5\t0", "1\t6\t1",
    ]  # fmt: skip
    assert await downloaded(page, "Download CSV") == "number,text,number\n0,5,0\n1,6,1\n"
    assert json.loads(await downloaded(page, "Download JSON"))[1] == {"number": 1, "text": "6"}


async def test_null_looks_like_no_text_and_text_is_as_it_is(page, looker):
    texts = ["NULL", "\\N", "ᴺᵁᴸᴸ", "", "a\tb\nc\\d'e", "[1]"]
    codes = ", ".join(f"unhex('{text.encode().hex()}')" for text in texts)
    await ask(page, looker, f"SELECT NULL, {codes}")
    await expect(page.locator("#answer-told")).to_have_text("1 row")
    nulls, *cells = await page.locator("#answer-table td").all()
    assert (await nulls.get_attribute("class"), await nulls.text_content()) == ("null", "NULL")
    assert [await cell.text_content() for cell in cells] == texts
    assert [await cell.get_attribute("class") for cell in cells] == [None] * len(texts)
    assert list(json.loads(await downloaded(page, "Download JSON"))[0].values()) == [None, *texts]


async def test_what_no_chart_can_tell_apart_has_none_and_the_page_says_so(page, looker):
    query = "SELECT 10000000000000000000 + number*2048 AS a, 1 AS b FROM numbers(2)"
    await ask(page, looker, query)
    await expect(page.locator("#chart-told")).to_have_text(
        "No chart: the values of a are too near to each other."
    )
    await expect(page.locator("#answer-chart")).to_be_hidden()
    assert await page.locator("#answer-table td").all_inner_texts() == [
        "10000000000000000000", "1", "10000000000000002048", "1",
    ]  # fmt: skip

    far = (
        "number",
        "10000000000000000000 + number * 100000000",
        "(number * 2 - 1) * 1.7e308",
        "number * 1e-300",
    )
    for places in far:
        query = f"SELECT {places} AS a, 1.79e308 AS b, NULL AS c FROM numbers(2)"
        await page.get_by_label("Question").fill(query)
        await page.get_by_role("button", name="Ask").click()
        await expect(page.get_by_role("img", name="b by a, as a chart")).to_be_visible()
        await expect(page.locator("#chart-told")).to_be_empty()


async def test_a_format_in_the_question_is_told_as_what_the_page_cannot_show(page, looker):
    for name in ("CSV", "TSV", "JSON", "TSVWithNames"):
        await ask(page, looker, f"SELECT 1 AS a, 'b' AS b FORMAT {name}")
        await expect(page.locator("#query-wrong")).to_have_text(
            "The page shows answers in a format of its own: leave FORMAT out."
        )
        await expect(page.locator("#answer")).to_be_hidden()
        await page.get_by_role("button", name="Forget the key").click()


async def test_only_the_clients_own_images_are_counted(page, looker):
    await ask(page, looker, "SELECT count() AS images, uniqExact(client_id) AS clients FROM measurements")
    images = looker.ask(f"/v1/statistics?{ALL}")["images"]
    await expect(page.locator("#answer-told")).to_have_text("1 row")
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
        async with page.expect_response(ASKED) as answered:
            await page.get_by_role("button", name="Ask").click()
        assert (await answered.value).status == 200, name
        await expect(page.locator("#answer-told")).to_contain_text("row")


async def test_a_new_question_ends_the_one_before(page, looker):
    held, ended = asyncio.Queue(), []
    page.on("requestfailed", lambda request: ended.append(request.post_data))
    await page.route(ASKED, held.put)
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
