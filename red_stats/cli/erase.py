"""`red-stats erase`: everything of a client goes, and a signed report says so."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from red_common.events import CLIENT_ID
from red_stats.cli.base import AdminKey, Json, StatsUrl, app, fail, printable, secret_keys_of, service_of


@app.command
def erase(
    client: str | None = None,
    /,
    *,
    yes: Annotated[bool, Parameter(negative=(), help="Do not ask.")] = False,
    check: Annotated[
        Path | None, Parameter(help="Erase nobody: say whether a report in this file is ours and unchanged.")
    ] = None,
    key: AdminKey = None,
    url: StatsUrl = None,
    as_json: Json = False,
) -> None:
    """Erase CLIENT: images, statistics, subscriptions, alerts, deliveries and keys.

    It asks for the client's id before it acts. Exit code 0: erased, 1: not, or not wholly, 2: wrong use.
    """
    from red_stats.local.erase_client import EraseClient, NotErased
    from red_stats.settings import load

    settings = load()
    if (client is None) == (check is None):
        fail("name a client to erase, or a report with --check", 2)
    if check is not None:
        _check(check)
        return
    if client is None or not CLIENT_ID.fullmatch(client):
        fail("CLIENT must be 1 to 64 characters of a-z, 0-9, _ and -", 2)
    service = EraseClient(*service_of(settings, url, settings.stats_url, key, "operator"))
    try:
        if not yes:
            _ask(client, asyncio.run(service.found(client)))
        report = asyncio.run(service.erase(client))
    except NotErased as error:
        fail(f"could not erase {client}: {error}")
    print(json.dumps(report) if as_json else _told(report))


def _ask(client: str, found: dict[str, int]) -> None:
    has = ", ".join(f"{count} {what}" for what, count in found.items())
    print(f"{client} has {has}. All of it goes, and its keys; nothing brings it back.")
    try:
        typed = input("Type the client's id to erase it: ")
    except EOFError:
        typed = ""
    if typed.strip() != client:
        fail("that is not the client's id: nothing was erased")


def _told(report: dict[str, Any]) -> str:
    removed = ", ".join(f"{count} {what}" for what, count in report["removed"].items())
    lines = [f"erased {report['client_id']} before {report['erased_before']}: {removed}"]
    lines += [f"{one['topic']:<26} until {one['until'] or 'for ever'}" for one in report["stays"]]
    return "\n".join(map(printable, [*lines, f"signature {report['signature']}"]))


def _check(path: Path) -> None:
    from red_stats.domain.erase_report import is_signed
    from red_stats.settings import load

    try:
        report = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        fail(f"{path} cannot be read: {error}", 2)
    if not isinstance(report, dict) or not is_signed(report, secret_keys_of(load())):
        fail(f"{path} is no report of this installation, or was changed")
    print(f"{path} is a report of this installation, unchanged: {report.get('client_id')}")
