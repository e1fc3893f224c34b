"""`red-stats sql` asks one query; `red-stats sql-users` makes users for those who connect directly."""

import asyncio
import hashlib
import json
import os
import secrets
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final, TypedDict

from cyclopts import Parameter

from red_stats.cli.base import ClientKey, StatsUrl, app, fail, printable, service_of

if TYPE_CHECKING:
    from red_common.web.trust import Trust

FORMATS: Final = {"table": "JSONCompact", "csv": "CSVWithNames", "json": "JSON"}


class _Column(TypedDict):
    name: str
    type: str


class _Answer(TypedDict):
    meta: list[_Column]
    data: list[list[Any]]


@app.command
def sql(
    query: str,
    /,
    *,
    client_key: ClientKey = None,
    url: StatsUrl = None,
    client: Annotated[str | None, Parameter(help="Whose rows; only with a key of scope admin.")] = None,
    format: Annotated[str, Parameter(help="table, csv, json, or any output format of ClickHouse.")] = "table",
) -> None:
    """Print the rows of a QUERY over a client's measurements, alerts and deliveries (docs/sql.md).

    Exit code 0: answered, 1: refused or failed, 2: could not ask.
    """
    import aiohttp

    from red_stats.local.answers import OddAnswer, content, reason
    from red_stats.settings import load

    settings = load()
    service, key, trusted = service_of(settings, url, settings.stats_url, client_key)
    where = f"{service}/v1/sql"
    asked = {"format": FORMATS.get(format, format)} | ({"client": client} if client else {})
    try:
        status, body = asyncio.run(_asked(where, asked, query, key, trusted, settings.sql_seconds + 60))
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        fail(f"{where} cannot be asked ({error}): start `red-stats up`, or give --url", 2)
    if status != 200:
        fail(reason(status, body))
    if format == "table":
        try:
            _show(content(status, body, _Answer))
        except OddAnswer as error:
            fail(str(error))
    else:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()


@app.command
def sql_users(
    client: str,
    /,
    *,
    apply: Annotated[bool, Parameter(negative=(), help="Run the statements at RED_CLICKHOUSE.")] = False,
    drop: Annotated[bool, Parameter(negative=(), help="Remove the user instead.")] = False,
) -> None:
    """Print the SQL that makes a user for CLIENT at a ClickHouse server: its own rows, read only, a quota.

    Run again, it gives the user another password, which is shown once.
    """
    from red_stats.settings import load
    from red_stats.store.clickhouse import Store, StoreError
    from red_stats.store.sql import users

    settings = load()
    password = secrets.token_urlsafe(24)
    try:
        hashed = hashlib.sha256(password.encode()).hexdigest()
        made = users.creating(client, hashed, settings.sql_limits)
        statements = users.dropping(client) if drop else made
    except ValueError as error:
        fail(f"{error}: CLIENT is 1 to 64 characters of a-z, 0-9, _ and -", 2)
    said = f"user {users.name_of(client)}" + ("" if drop else f", password {password}; it is not shown again")
    if not apply:
        print("".join(f"{statement};\n" for statement in statements) + f"-- {said}")
        return
    if not settings.clickhouse:
        fail("--apply needs RED_CLICKHOUSE: the store in the data folder has no users", 2)
    store = Store(settings.clickhouse)
    try:
        for statement in statements:
            store.command(statement)
    except StoreError as error:
        fail(f"the server refused it: {str(error)[:300]}")
    finally:
        store.close()
    print(said)


async def _asked(
    url: str, asked: dict[str, str], query: str, key: str, trusted: "Trust", seconds: float
) -> tuple[int, bytes]:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=5)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "text/plain; charset=utf-8"}
    async with (
        aiohttp.ClientSession(headers=headers, timeout=timeout, trust_env=False) as session,
        session.post(url, params=asked, data=query.encode(errors="replace"), ssl=trusted) as answer,
    ):
        return answer.status, await answer.read()


def _show(answer: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    numbers = ("Int", "UInt", "Float", "Decimal")
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for column in answer["meta"]:
        right = column["type"].removeprefix("Nullable(").startswith(numbers)
        table.add_column(
            Text(_printable(column["name"])), justify="right" if right else "left", overflow="fold"
        )
    for row in answer["data"]:
        table.add_row(*(Text(_printable(value)) for value in row))
    width = None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", 200))
    Console(width=width, markup=False, highlight=False).print(table)


def _printable(value: Any) -> str:
    """A value as text in which nothing is a code for the terminal, or markup."""
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return printable(text)
