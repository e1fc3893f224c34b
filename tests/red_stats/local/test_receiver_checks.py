"""`check-receiver` finds a right receiver right, and each kind of wrong one wrong in its own check alone."""

import asyncio
import json
import signal
import sys
import time
import uuid
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from red_stats.domain.signatures import new_secret
from red_stats.local.receiver_checks import check, checks
from tests.services import hear_interrupts

SECRET = new_secret(bytes(range(32)))
NAMES = [
    "valid", "duplicate", "stale", "wrong_signature", "rotation", "large", "slow", "unknown_type",
]  # fmt: skip
KNOWN = ("red.alert", "red.digest", "red.test")


class Right:
    """A receiver as people write it with the official library."""

    def __init__(self):
        self.seen, self.bodies = set(), []

    def verify(self, body, headers):
        Webhook(SECRET).verify(body, headers)

    def again(self):
        return 204

    def known(self, event):
        return 204

    async def read(self, request):
        return await request.read()

    async def receive(self, request):
        body = await self.read(request)
        try:
            self.verify(body, dict(request.headers))
        except WebhookVerificationError:
            return web.Response(status=401)
        if request.headers["webhook-id"] in self.seen:
            return web.Response(status=self.again())
        self.seen.add(request.headers["webhook-id"])
        self.bodies.append(json.loads(body))
        return web.Response(status=self.known(self.bodies[-1]))


class DownForAll(Right):
    async def read(self, request):
        raise web.HTTPServiceUnavailable


class RefusesDuplicates(Right):
    def again(self):
        return 409


class LooksAtNoTime(Right):
    def verify(self, body, headers):
        written = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        signature = Webhook(SECRET).sign(headers["webhook-id"], written, body.decode())
        if signature not in headers["webhook-signature"].split():
            raise WebhookVerificationError("no")


class LooksAtNoSignature(Right):
    def verify(self, body, headers):
        if abs(int(headers["webhook-timestamp"]) - time.time()) > 300:
            raise WebhookVerificationError("stale")


class LooksAtTheFirstSignature(Right):
    def verify(self, body, headers):
        first = headers["webhook-signature"].split()[0]
        Webhook(SECRET).verify(body, headers | {"webhook-signature": first})


class TakesLittle(Right):
    async def read(self, request):
        body = await request.read()
        if len(body) > 10_000:
            raise web.HTTPRequestEntityTooLarge(10_000, len(body))
        return body


class NeverAnswers(Right):
    def __init__(self):
        super().__init__()
        self.asked = asyncio.Event()

    async def read(self, request):
        self.asked.set()
        await asyncio.Event().wait()


class HasNoPatience(Right):
    async def read(self, request):
        try:
            async with asyncio.timeout(0.15):
                return await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout from None


class KnowsNoOthers(Right):
    def known(self, event):
        return 204 if event["type"] in KNOWN else 400


class Fails(Right):
    """What cannot be verified is an error of its own instead of a refusal."""

    def verify(self, body, headers):
        try:
            super().verify(body, headers)
        except WebhookVerificationError:
            raise web.HTTPInternalServerError from None


class Redirects(Right):
    async def read(self, request):
        raise web.HTTPFound("/elsewhere")


async def failed(receiver, trickle=0.5):
    application = web.Application()
    application.router.add_post("/hook", receiver.receive)
    wanted = checks(SECRET, time.time(), uuid.uuid4, bytes(range(1, 33)), trickle)
    async with TestServer(application) as server:
        findings = await check(str(server.make_url("/hook")), wanted)
    assert [one.name for one in findings] == NAMES
    return [one.name for one in findings if not one.passed]


async def test_a_receiver_written_with_the_official_library_is_right():
    receiver = Right()
    assert await failed(receiver) == []
    assert [body["type"] for body in receiver.bodies] == [
        "red.alert", "red.alert", "red.digest", "red.alert", "red.unheard-of",
    ]  # fmt: skip
    digest = receiver.bodies[2]["data"]
    assert (digest["count"], len(digest["alerts"])) == (100, 100)
    assert len(json.dumps(digest)) > 20_000


@pytest.mark.parametrize(
    ("receiver", "wrong"),
    [
        (DownForAll, NAMES),
        (Redirects, NAMES),
        (RefusesDuplicates, ["duplicate"]),
        (LooksAtNoTime, ["stale"]),
        (LooksAtNoSignature, ["wrong_signature"]),
        (LooksAtTheFirstSignature, ["rotation"]),
        (TakesLittle, ["large"]),
        (HasNoPatience, ["slow"]),
        (KnowsNoOthers, ["unknown_type"]),
        (Fails, ["stale", "wrong_signature"]),
    ],
)
async def test_a_receiver_that_does_one_thing_wrong_fails_that_check_alone(receiver, wrong):
    assert await failed(receiver()) == wrong


async def started(*arguments):
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "red_stats", "check-receiver", *arguments, stdin=-3, stdout=-1, stderr=-1,
        preexec_fn=hear_interrupts,
    )  # fmt: skip


async def ended(process):
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def ran(*arguments):
    return await ended(await started(*arguments))


@pytest.mark.system
async def test_the_exit_code_tells_whether_all_passed_and_json_tells_what_did():
    for receiver, code in ((Right(), 0), (LooksAtNoTime(), 1)):
        application = web.Application()
        application.router.add_post("/", receiver.receive)
        async with TestServer(application) as server:
            url = f"http://127.0.0.1:{server.port}/"
            found, out, err = await ran(url, "--secret", SECRET, "--json")
            assert (found, err) == (code, "")
            told = json.loads(out)
            assert (told["url"], told["passed"]) == (url, not code)
            assert [(one["name"], one["passed"]) for one in told["checks"]] == [
                (name, not (code and name == "stale")) for name in NAMES
            ]
            receiver.seen.clear()
            found, out, err = await ran(url, "--secret", SECRET)
            assert found == code
            assert [("BAD" in line, line.split()[1]) for line in out.splitlines()[1:]] == [
                (bool(code) and name == "stale", name) for name in NAMES
            ]


@pytest.mark.system
@pytest.mark.parametrize("given", [[], ["--json"]])
async def test_an_interrupted_check_ends_with_code_0_and_says_nothing(given):
    receiver = NeverAnswers()
    application = web.Application()
    application.router.add_post("/", receiver.receive)
    async with TestServer(application) as server, asyncio.timeout(60):
        process = await started(f"http://127.0.0.1:{server.port}/", "--secret", SECRET, *given)
        await receiver.asked.wait()
        process.send_signal(signal.SIGINT)
        assert await ended(process) == (0, "", "")


@pytest.mark.system
async def test_wrong_use_is_one_line_and_code_2():
    for arguments in (
        ["ftp://127.0.0.1/", "--secret", SECRET],
        ["127.0.0.1:80", "--secret", SECRET],
        ["http://127.0.0.1:x/", "--secret", SECRET],
        ["http://127.0.0.1/", "--secret", "whsec_short"],
    ):
        code, out, err = await ran(*arguments)
        assert (code, out, len(err.splitlines())) == (2, "", 1), arguments
