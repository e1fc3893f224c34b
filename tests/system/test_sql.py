"""SQL of clients over HTTP, and real drivers of ClickHouse against `/clickhouse`."""

import asyncio
import base64
import os
import shutil
import subprocess
import sys
from urllib.parse import quote, urlsplit

import clickhouse_connect
import pytest
from aiokafka import AIOKafkaProducer
from clickhouse_connect.driver.exceptions import DatabaseError

from red_common.api_keys import DEFAULT_SCOPES
from red_stats import topics
from tests.builders import a_measurement
from tests.services import an_api

SCOPES = (*DEFAULT_SCOPES, "sql")
ENDLESS = "SELECT count() FROM numbers(10000000000000) WHERE number % 7 = 3"
AMOUNTS = (0.1, 0.2, 0.6)


async def recorded(api, kafka, stats, amounts=AMOUNTS):
    """Measurements of the client, once they are in the store."""
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for amount in amounts:
            value = a_measurement(api.client_id, amount)
            done = await producer.send_and_wait(topics.MEASUREMENTS, value, api.client_id.encode())
    everything = "from=1970-01-01T00:00:00Z&to=2100-01-01T00:00:00Z"
    position = f"{done.partition}:{done.offset}"
    status, body = await api.call("GET", f"{stats.url}/v1/statistics?{everything}&at_least={position}")
    assert (status, body["images"]) == (200, len(amounts))


@pytest.fixture
async def client(kafka, stats):
    async with an_api(kafka, stats, scopes=SCOPES) as api:
        await recorded(api, kafka, stats)
        yield api


def sql(stats, query=""):
    return f"{stats.url}/v1/sql{query}"


async def test_a_client_asks_about_its_own_rows_in_any_format(client, kafka, stats):
    async with an_api(kafka, stats, scopes=SCOPES) as other:
        await recorded(other, kafka, stats, (0.9,))
        text = "SELECT count() AS images, max(red) AS most, any(client_id) AS client FROM measurements"

        status, body = await client.call("POST", sql(stats), data=text)
        assert status == 200
        assert [int(body["data"][0]["images"]), body["data"][0]["most"]] == [3, 0.6]
        assert body["data"][0]["client"] == client.client_id

        text = "SELECT count() FROM measurements"
        assert await client.call("POST", sql(stats, "?format=CSV"), data=text) == (200, b"3\n")
        assert await client.call("POST", sql(stats), data="SELECT 1 FORMAT TSV") == (200, b"1\n")
        _, parquet = await client.call("POST", sql(stats, "?format=Parquet"), data="SELECT 1")
        assert parquet.startswith(b"PAR1")
        asked = {
            "sql": "SELECT count() FROM measurements WHERE red > {r:Float64} FORMAT TSV",
            "parameters": {"r": 0.15},
        }
        assert await client.call("POST", sql(stats), json=asked) == (200, b"2\n")
        text = "SELECT count() FROM measurements WHERE red > {r:Float64}"
        assert await client.call("POST", sql(stats, "?format=TSV&param_r=0.5"), data=text) == (200, b"1\n")


@pytest.mark.parametrize(
    ("query", "body", "status", "code"),
    [
        ("", "SELECT * FROM system.tables", 400, "sql_refused"),
        ("", "", 400, "sql_refused"),
        ("?format=Null", "SELECT 1", 400, "sql_refused"),
        ("?param_x=1", "SELECT 1", 400, "sql_refused"),
        ("?max_threads=1", "SELECT 1", 400, "unknown_parameter"),
        ("?param_=1", "SELECT 1", 400, "unknown_parameter"),
        ("?param_x=1&param_x=2", "SELECT {x:UInt8}", 400, "repeated_parameter"),
        ("?format=CSV&format=TSV", "SELECT 1", 400, "repeated_parameter"),
        ("", "SELECT nosuch FROM measurements", 422, "sql_failed"),
        ("", b"SELECT '\xff'", 400, "invalid_body"),
        ("", "x" * 70_000, 413, "body_too_large"),
        ("?client=other", "SELECT 1", 403, "admin_only"),
    ],
)
async def test_what_cannot_be_answered_has_a_code(query, body, status, code, client, stats):
    found, problem = await client.call("POST", sql(stats, query), data=body)
    assert (found, problem["code"]) == (status, code)


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        '{"sql": 1}',
        '{"sql": "SELECT 1", "x": 1}',
        '{"parameters": {}}',
        '{"sql": "SELECT {x:UInt8}", "parameters": {"x": {}}}',
        '{"sql": "SELECT 1", "parameters": {"a b": 1}}',
    ],
)
async def test_a_body_of_json_that_is_something_else_is_refused(body, client, stats):
    headers = {"Content-Type": "application/json"}
    status, problem = await client.call("POST", sql(stats), data=body, headers=headers)
    assert (status, problem["code"]) == (400, "invalid_body")


async def test_sql_needs_its_scope_which_is_none_of_the_default_ones(kafka, stats):
    async with an_api(kafka, stats) as api:
        status, problem = await api.call("POST", sql(stats), data="SELECT 1")
        assert (status, problem["code"]) == (403, "scope_missing")


async def test_an_admin_asks_about_a_client_by_name(client, kafka, stats):
    async with an_api(kafka, stats, scopes=("admin",)) as admin:
        text = "SELECT count() FROM measurements FORMAT TSV"
        assert await admin.call("POST", sql(stats, f"?client={client.client_id}"), data=text) == (200, b"3\n")


async def test_a_question_ends_with_its_asker_and_nobody_else_waits_for_it(client, kafka, stats):
    """Its client has one question at a time, so the next one is answered only once the engine has let go."""
    asking = asyncio.create_task(client.call("POST", sql(stats), data=ENDLESS))
    async with asyncio.timeout(8):  # less than it may take by itself
        while await is_answered(client, stats):
            pass
    async with an_api(kafka, stats, scopes=SCOPES) as other:
        assert (await other.call("POST", sql(stats), data="SELECT 1"))[0] == 200
        assert (await client.call("GET", f"{stats.url}/v1/live"))[0] == 200
    assert not asking.done()

    asking.cancel()

    async with asyncio.timeout(8):
        assert (await client.call("POST", sql(stats), data="SELECT 1"))[0] == 200


async def is_answered(client, stats):
    """Whether a short question of the client is answered, and does not wait for another one of its."""
    try:
        async with asyncio.timeout(0.5):
            return (await client.call("POST", sql(stats), data="SELECT 1"))[0] == 200
    except TimeoutError:
        return False


def driver(client, stats, **options):
    where = urlsplit(stats.url)
    given = {"username": client.client_id, "password": client.key} | options
    return clickhouse_connect.get_client(
        host=where.hostname, port=where.port, interface="http", proxy_path="clickhouse", **given
    )


async def test_clickhouse_connect_reads(client, stats):
    def asked():
        with driver(client, stats) as connection:
            found = connection.query("SELECT image_id, red, measured_at FROM measurements ORDER BY red")
            assert [row[1] for row in found.result_rows] == list(AMOUNTS)
            over = connection.query(
                "SELECT count() FROM measurements WHERE red > {r:Float64} AND client_id = {c:String}",
                parameters={"r": 0.15, "c": client.client_id},
            )
            assert over.result_rows == [(2,)]
            assert connection.command("SELECT count() FROM measurements") == 3
            assert connection.query_df("SELECT red FROM measurements ORDER BY red")["red"].tolist() == list(
                AMOUNTS
            )
            names = connection.query("SELECT name FROM system.tables WHERE database = 'red' ORDER BY name")
            assert names.result_rows == [("alerts",), ("deliveries",), ("measurements",)]
            assert connection.ping()
            for refused in ("SELECT * FROM system.processes", "DROP TABLE measurements", "SELECT hostName()"):
                with pytest.raises(DatabaseError, match=r"Code: \d+"):
                    connection.command(refused)

    await asyncio.to_thread(asked)


async def test_a_driver_with_a_wrong_login_is_told_so(client, stats):
    for wrong in ({"password": "red_a_b"}, {"username": "somebody"}, {"password": ""}):
        with pytest.raises(DatabaseError, match="516"):
            await asyncio.to_thread(driver, client, stats, **wrong)


JAVASCRIPT = """
const { createClient } = require('@clickhouse/client');
(async () => {
  const client = createClient({
    url: process.env.URL, pathname: '/clickhouse', username: process.env.NAME, password: process.env.KEY,
  });
  const rows = await client.query({
    query: 'SELECT red FROM measurements WHERE red > {r:Float64} ORDER BY red', format: 'JSONEachRow',
    query_params: { r: 0.15 },
  });
  const ping = await client.ping();
  let refused = '';
  try { await client.query({ query: 'SELECT hostName()' }); } catch (error) { refused = error.code; }
  console.log(JSON.stringify({ rows: await rows.json(), ping: ping.success, refused }));
  await client.close();
})();
"""


@pytest.fixture(scope="module")
def node_modules(tmp_path_factory):
    if shutil.which("npm") is None:
        pytest.skip("there is no npm")
    folder = tmp_path_factory.mktemp("node")
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "@clickhouse/client@1.12.1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180)
    if done.returncode:
        pytest.skip(f"the driver cannot be had: {done.stderr[-200:]}")
    return folder


async def test_the_javascript_driver_reads(client, stats, node_modules):
    (node_modules / "ask.js").write_text(JAVASCRIPT)
    environment = os.environ | {"URL": stats.url, "NAME": client.client_id, "KEY": client.key}
    done = await asyncio.to_thread(
        subprocess.run,
        ["node", "ask.js"],
        cwd=node_modules,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == '{"rows":[{"red":0.2},{"red":0.6}],"ping":true,"refused":"46"}', done.stderr


def basic(client):
    packed = base64.b64encode(f"{client.client_id}:{client.key}".encode()).decode()
    return {"Authorization": f"Basic {packed}"}


async def test_the_interface_of_clickhouse_by_hand(client, stats):
    async def ask(method, query="", headers=None, **options):
        given = basic(client) if headers is None else headers
        url = f"{stats.url}/clickhouse{query}"
        async with client.session.request(method, url, headers=given, **options) as answer:
            return answer.status, await answer.text(), answer.headers

    text = quote("SELECT count() FROM measurements")
    status, body, headers = await ask("GET", f"?query={text}")
    assert (status, body, headers["X-ClickHouse-Format"]) == (200, "3\n", "TabSeparated")
    assert (await ask("POST", "/?query=SELECT", data="count() FROM measurements"))[1] == "3\n"
    login = {"X-ClickHouse-User": client.client_id, "X-ClickHouse-Key": client.key}
    assert (await ask("GET", f"?query={text}&default_format=CSV", login))[1] == "3\n"
    assert (await ask("GET", "/ping", {}))[:2] == (200, "Ok.\n")
    for query, code in (
        ("?query=SELECT+nosuch", 47),
        ("?query=SELECT+FROM+WHERE", 62),
        ("?query=SELECT+1&max_threads=9", 164),
        ("?query=SELECT+1&compress=1", 164),
        ("?query=SELECT+1&database=system", 60),
        ("?query=SELECT+*+FROM+x", 60),
        ("", 62),
    ):
        status, body, headers = await ask("GET", query)
        assert status == 400
        assert body.startswith(f"Code: {code}. DB::Exception: ")
        assert headers["X-ClickHouse-Exception-Code"] == str(code)
    for none in (
        {},
        {"Authorization": "Basic !"},
        {"X-ClickHouse-Key": ""},
        login | {"X-ClickHouse-User": "eve"},
    ):
        status, body, _ = await ask("GET", f"?query={text}", none)
        assert (status, body[:9]) == (401, "Code: 516"), none


async def test_the_command_prints_a_table_csv_or_json(client, stats):
    async def run(*arguments):
        command = [
            sys.executable,
            "-m",
            "red_stats",
            "sql",
            *arguments,
            "--url",
            stats.url,
            "--client-key",
            client.key,
        ]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    text = "SELECT '[red]\x1b[31m' AS name, red FROM measurements ORDER BY red LIMIT 2"
    code, out, err = await run(text)
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines() if "0." in line] == [
        ["[red]?[31m", "0.1"],
        ["[red]?[31m", "0.2"],
    ]
    assert await run("SELECT 1 AS x", "--format", "csv") == (0, '"x"\n1\n', "")
    assert await run("SELECT 1 AS x", "--format", "JSONEachRow") == (0, '{"x":1}\n', "")
    code, out, err = await run("SELECT hostName()")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert "hostName" in err
