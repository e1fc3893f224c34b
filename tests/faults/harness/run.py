"""One run of a scenario: clients under load, a receiver behind a cable, and the evidence at the end."""

import asyncio
import random
import time
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp

from tests.faults.harness import oracle
from tests.faults.harness.clients import new_clients
from tests.faults.harness.evidence import EVER, Evidence, Post, ask_views, log_ends, read_log, run_verify
from tests.faults.harness.implied import undelivered
from tests.faults.harness.ledger import Ledger
from tests.faults.harness.load import DirectLoad, HttpLoad, jpegs
from tests.faults.harness.proxy import Proxy
from tests.receiver import Receiver

THRESHOLD = 0.85
CROSSING = {"threshold": 0.7, "trigger": "crossing", "rearm_below": 0.3}
IN_DIGESTS = {"threshold": 0.4}


class Run:
    """What a scenario's fault can use; `recoveries` are seconds from the end of each fault.

    `subscriptions` holds one of each client; beside it, each has one whose trigger is `crossing`, and
    one with a `min_interval` of 1 or 2 seconds.
    """

    def __init__(self, system, name, seed, *, long=False, settle_seconds=90):
        self.system, self.name, self.long = system, name, long
        self.random = random.Random(seed)
        self.recoveries, self.notes, self.kills = [], [], []
        self.clients, self.ledgers, self.loads = [], {}, []
        self.subscriptions = []
        self.receiver = Receiver()
        self.evidence = Evidence()
        self._settle_seconds = settle_seconds

    async def moment(self, least=0.2, most=1.5):
        """A random moment passes under load."""
        await asyncio.sleep(self.random.uniform(least, most))

    async def lasting(self, long, short):
        """The fault lasts that many seconds in the long form, or in the short one."""
        await asyncio.sleep(long if self.long else short)

    async def flowing(self, count=40, seconds=120):
        """Returns when that many more images were acknowledged."""
        wanted = self.acknowledged + count
        async with asyncio.timeout(seconds):
            while self.acknowledged < wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    @property
    def acknowledged(self):
        """Images acknowledged so far."""
        return sum(len(ledger.acked) for ledger in self.ledgers.values())

    async def recovered(self, since, client=None, seconds=120):
        """Returns when an image sent after `since` (monotonic) is acknowledged and counted everywhere."""
        client = client or self.random.choice(self.clients)
        probe = HttpLoad(client, self.ledgers[client.client_id], lambda: self.system.red_urls, 1)
        async with asyncio.timeout(seconds):
            position = await probe.one(f"probe-{time.time_ns()}", jpegs()[4])
        for view in ("live?", f"statistics?{EVER}&"):
            await client.ask("GET", f"/v1/{view}at_least={position}", seconds=seconds)
        self.recoveries.append(time.monotonic() - since)

    async def settled(self):
        """Load ended and drained, everything delivered, every view asked, `verify` run."""
        for load in self.loads:
            await load.drained()
        self.evidence.ledgers = self.ledgers
        deadline = time.monotonic() + self._settle_seconds
        while True:
            self.evidence.records = await read_log(self.system.bootstrap, self._starts, set(self.ledgers))
            self.evidence.posts = [Post(g.id, g.raw.decode(), g.verified) for g in self.receiver.got]
            left = undelivered(self.evidence)
            if not left or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.25)
        try:
            await ask_views(self.evidence, self.clients)
        except AssertionError as error:
            self.notes.append(str(error)[:300])
        self.evidence.verify = await run_verify(self.system.environment)
        return oracle.judge(self.evidence)

    async def note_starts(self):
        """Everything of this run stands behind these ends."""
        self._starts = await log_ends(self.system.bootstrap)


@asynccontextmanager
async def under_load(system, name, seed, *, http=6.0, direct=100.0, threshold=THRESHOLD, **options):
    """A run whose clients send from here to the end of the block."""
    run = Run(system, name, seed, **options)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        await stack.enter_async_context(run.receiver)
        run.cable = Proxy(("127.0.0.1", run.receiver.port))
        stack.callback(run.cable.close)
        await run.note_starts()
        run.clients = await new_clients(session, system.bootstrap, lambda: system.stats_urls, name)
        run.ledgers = {c.client_id: Ledger(c.client_id) for c in run.clients}
        for number, client in enumerate(run.clients):
            await known(client, system)
            body = {"webhook_url": f"http://127.0.0.1:{run.cable.port}/hook", "threshold": threshold}
            made = await client.ask("POST", "/v1/subscriptions", json=body)
            crossing = await client.ask("POST", "/v1/subscriptions", json=body | CROSSING)
            often = IN_DIGESTS | {"min_interval": 1 + number % 2}
            digests = await client.ask("POST", "/v1/subscriptions", json=body | often)
            run.receiver.secrets += [made["secret"], crossing["secret"], digests["secret"]]
            run.subscriptions.append(made)
        run.loads = [
            HttpLoad(c, run.ledgers[c.client_id], lambda: system.red_urls, http) for c in run.clients if http
        ]
        if direct:
            run.loads.append(DirectLoad(system.bootstrap, list(run.ledgers.values()), direct))
        tasks = [asyncio.create_task(load.run()) for load in run.loads]
        try:
            await run.flowing(20)
            yield run
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            for error in ended:
                if isinstance(error, Exception) and not isinstance(error, asyncio.CancelledError):
                    run.notes.append(f"the load broke: {error!r}")
        run.verdict = await run.settled()


async def known(client, system, seconds=30):
    """Both services know the client's key."""
    async with asyncio.timeout(seconds):
        for url in [*system.red_urls, *system.stats_urls]:
            while (await client._call("GET", f"{url}/red/images/x"))[0] in (0, 401):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
