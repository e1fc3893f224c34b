"""Whether a webhook receiver treats right what RED_STATS may send it, and what others may."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import aiohttp
import orjson
from yarl import URL

from red_stats.domain import delivery_kinds, digests
from red_stats.domain.alerts import AlertRaised, alert_id
from red_stats.domain.deliveries import Row
from red_stats.domain.digests import LISTED, Interval
from red_stats.domain.measurements import rfc3339_of
from red_stats.domain.signatures import headers as signed
from red_stats.domain.signatures import new_secret

SECONDS: Final = 15.0  # for one answer, as RED_STATS waits for it
STALE_SECONDS: Final = 3600  # ago; receivers tolerate 5 minutes
PIECES: Final = 10  # of the slow body
CLIENT: Final = "check-receiver"
UNKNOWN: Final = "red.unheard-of"


class Check(NamedTuple):
    """A request: signed by `secrets` at `timestamp`; `pause` seconds lie between the pieces of its body."""

    name: str
    about: str
    row: Row
    secrets: Sequence[str]
    timestamp: int
    is_right: bool = True  # a receiver has to take it; otherwise to refuse it
    pause: float = 0.0


class Finding(NamedTuple):
    """What the receiver did: its status, or why there is none."""

    name: str
    about: str
    expected: str
    status: int | None
    error: str | None
    passed: bool


def checks(
    secret: str, now: float, new_id: Callable[[], UUID], entropy: bytes, trickle: float
) -> list[Check]:
    """The requests in their order; `now` is in seconds since 1970, `trickle` seconds take the slow body.

    Raises:
        InvalidSecret: `secret` is not a `whsec_` secret.
    """
    at, subscription, other = int(now), str(new_id()), new_secret(entropy)
    alerts = [_alert(subscription, seq, at * 1000, str(new_id())) for seq in range(1, LISTED + 5)]
    valid, stale, wrong, rotation, slow, unknown = (_row(alert) for alert in alerts[LISTED - 2 : LISTED + 4])
    return [
        Check("valid", "a signed alert", valid, [secret], at),
        Check("duplicate", "the same again: a retry whose first answer was lost", valid, [secret], at),
        Check("stale", "signed an hour ago: somebody replays it", stale, [secret], at - STALE_SECONDS, False),
        Check("wrong_signature", "signed with another secret", wrong, [other], at, False),
        Check("rotation", "signed with another secret and with this one", rotation, [other, secret], at),
        Check("large", f"a digest of {LISTED} alerts", _digest(subscription, alerts[:LISTED]), [secret], at),
        Check("slow", f"a body that takes {trickle:g} s", slow, [secret], at, pause=trickle / PIECES),
        Check("unknown_type", "of a type that a later version may send", _unknown(unknown), [secret], at),
    ]  # fmt: skip


async def check(url: str, wanted: Sequence[Check]) -> list[Finding]:
    """Send the requests one after the other; never raises for what the receiver does."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
    async with aiohttp.ClientSession(
        timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        return [await _sent(session, url, one) for one in wanted]


async def _sent(session: aiohttp.ClientSession, url: str, one: Check) -> Finding:
    body = one.row.body
    headers = signed(one.secrets, one.row.webhook_id, one.timestamp, body)
    headers |= {"Content-Type": "application/json", "User-Agent": "RED_STATS/1"}
    headers |= {"Content-Length": str(len(body))}
    data: Any = _in_pieces(body, one.pause) if one.pause else body
    status, error = None, None
    try:
        async with asyncio.timeout(SECONDS + one.pause * PIECES):
            async with session.post(
                URL(url, encoded=True), data=data, headers=headers, allow_redirects=False
            ) as answer:
                status = answer.status
    except TimeoutError:
        error = f"no answer within {SECONDS:g} s"
    except (aiohttp.ClientError, OSError, ValueError) as failure:
        error = str(failure) or type(failure).__name__
    low = 200 if one.is_right else 400
    passed = status is not None and low <= status < low + 100
    return Finding(one.name, one.about, f"{low // 100}xx", status, error, passed)


async def _in_pieces(body: bytes, pause: float) -> AsyncIterator[bytes]:
    size = -(-len(body) // PIECES)
    for begin in range(0, len(body), size):
        yield body[begin : begin + size]
        await asyncio.sleep(pause)


def _alert(subscription: str, seq: int, at: int, image_id: str) -> AlertRaised:
    position = f"0:{seq}"
    return AlertRaised(
        id=alert_id(subscription, position), subscription_id=subscription, version=1, seq=seq,
        prev_seq=seq - 1, image_id=image_id, red=0.5, threshold=0.25, measured_at=rfc3339_of(at),
        position=position,
    )  # fmt: skip


def _row(alert: AlertRaised) -> Row:
    value = digests.as_listed(alert).encode()
    return delivery_kinds.of_alert(CLIENT.encode(), value, 0)


def _digest(subscription: str, alerts: Sequence[AlertRaised]) -> Row:
    interval = Interval(client_id=CLIENT, end=0)
    for alert in alerts:
        interval = digests.joined(interval, alert)
    return digests.digest_of(subscription, interval, map(digests.as_listed, alerts), 0)


def _unknown(row: Row) -> Row:
    data = orjson.dumps({"said": "a receiver leaves alone what it does not know, and says 2xx"}).decode()
    return Row(
        id=row.id, webhook_id=row.webhook_id, alert_id="", client_id=CLIENT,
        subscription_id=row.subscription_id, version=1, type=UNKNOWN, timestamp=row.timestamp, data=data,
        since=0, due=0,
    )  # fmt: skip
