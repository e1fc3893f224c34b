"""`red-stats listen` and `check-receiver`: for people who write a receiver of alerts."""

import asyncio
import json
import secrets
import sys
import time
import uuid
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from red_stats.cli.base import Json, StatsUrl, app, fail, printable, secret_from, service_of

if TYPE_CHECKING:
    from red_stats.local.receiver_checks import Finding

LOCAL_PORT = 9000


@app.command
def listen(
    *,
    key: Annotated[
        str | None, Parameter(help="API key with scope subscriptions, as @FILE or - for stdin.")
    ] = None,
    url: StatsUrl = None,
    subscription: Annotated[str | None, Parameter(help="With --key: its alerts alone.")] = None,
    forward: Annotated[str | None, Parameter(help="With --key: POST each alert to this URL.")] = None,
    secret: Annotated[
        str | None, Parameter(help="whsec_ secret that signs or verifies, as @FILE or - for stdin.")
    ] = None,
    port: Annotated[
        int | None, Parameter(help=f"Without --key: where to listen; default: {LOCAL_PORT}.")
    ] = None,
) -> None:
    """Print alerts as they are raised, a line of JSON each; with --forward, send each on as a signed webhook.

    With --key it asks RED_STATS for them, so RED_STATS need not reach this machine. After an interruption it
    goes on behind the last alert; one that could not be forwarded is sent again before the next. Without
    --secret it makes one and says so. Without --key it waits for webhooks on this machine and prints every
    one; with --secret, whether its signature is valid.

    Exit code 0: Ctrl-C, 1: it cannot go on, 2: wrong use.
    """
    if key is None:
        if url or subscription or forward:
            fail("--url, --subscription and --forward go with --key", 2)
        _receive(LOCAL_PORT if port is None else port, secret and secret_from(secret))
        return
    if port is not None:
        fail("--port goes without --key", 2)
    if secret is not None and forward is None:
        fail("--secret signs what --forward sends: give both", 2)
    if "-" == key == secret:
        fail("only one of --key and --secret can be read from stdin", 2)
    _follow(key, url, subscription, forward, secret)


def _receive(port: int, secret: str | None) -> None:
    from red_stats.local.webhook_listener import listen as serve

    try:
        asyncio.run(serve(port, secret, print))
    except OverflowError:
        fail(f"there is no port {port}", 2)
    except OSError as error:
        fail(f"port {port} cannot be used ({error.strerror}): choose another one with --port")
    except KeyboardInterrupt:
        return


def _follow(key: str, url: str | None, subscription: str | None, to: str | None, secret: str | None) -> None:
    from red_stats.domain.signatures import new_secret
    from red_stats.local.alert_listener import AlertListener, CannotGoOn, Forward
    from red_stats.settings import load

    settings = load()
    forward = None
    if to is not None:
        _check_url(to)
        forward = Forward(to, _secret_of(secret) if secret else new_secret(secrets.token_bytes(24)))
        if not secret:
            _say(f"signing with {forward.secret}")
    if url is not None:
        _check_url(url)
    where, key, trusted = service_of(settings, url, settings.stats_url, key)
    if not (key.isascii() and key.isprintable() and key):
        fail("that is no API key", 2)

    def out(line: str) -> None:
        print(line, flush=True)

    listener = AlertListener(
        where, key, trusted, subscription=subscription, forward=forward, out=out, say=_say
    )
    try:
        asyncio.run(listener.run())
    except CannotGoOn as error:
        fail(printable(str(error)))
    except KeyboardInterrupt:
        return


@app.command
def check_receiver(
    url: str,
    /,
    *,
    secret: Annotated[
        str, Parameter(help="whsec_ secret with which the receiver verifies, as @FILE or - for stdin.")
    ],
    as_json: Json = False,
) -> None:
    """Send URL eight requests and tell which ones your webhook receiver treats right.

    A valid one, the same again, a stale one, one with a wrong signature, one with two signatures, a large
    one, one with a slow body and one of an unknown type. It has to answer 4xx to the stale and the wrong one
    and 2xx to the others. No running system is needed.

    Exit code 0: all are treated right, or Ctrl-C, 1: some are not, 2: wrong use.
    """
    from red_stats.local.receiver_checks import check, checks

    _check_url(url)
    wanted = checks(_secret_of(secret), time.time(), uuid.uuid4, secrets.token_bytes(24), trickle=3.0)
    try:
        findings = asyncio.run(check(url, wanted))
    except KeyboardInterrupt:
        return
    passed = all(one.passed for one in findings)
    if as_json:
        print(json.dumps({"url": url, "passed": passed, "checks": [one._asdict() for one in findings]}))
    else:
        _show(findings)
    raise SystemExit(not passed)


def _show(findings: "list[Finding]") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("", "check", "sent", "expected", "answered", box=None, header_style="bold")
    for one in findings:
        answered = str(one.status) if one.status is not None else printable(str(one.error))
        verdict = "ok" if one.passed else "BAD"
        table.add_row(verdict, one.name, escape(one.about), one.expected, escape(answered))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _check_url(url: str) -> None:
    from yarl import URL

    try:
        parsed = URL(url, encoded=True)
        good = parsed.scheme in ("http", "https") and bool(parsed.host) and parsed.port is not None
    except ValueError:
        good = False
    if not good:
        fail(f"{printable(url)} is no address that begins with http:// or https://", 2)


def _secret_of(given: str) -> str:
    from red_stats.domain.signatures import InvalidSecret, key_of

    secret = secret_from(given)
    try:
        key_of(secret)
    except InvalidSecret as error:
        fail(str(error), 2)
    return secret


def _say(text: str) -> None:
    print(f"red-stats: {printable(text)}", file=sys.stderr, flush=True)
