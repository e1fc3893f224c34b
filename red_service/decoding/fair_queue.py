"""Images waiting for a decoder, shared between clients by the processor seconds that their images take.

Start-time fair queueing: each client has a clock that its images advance by what they cost, and the
client whose clock is furthest behind is next. So one client's large images do not take the time of
another's small ones. The last free decoder is kept for a client that has none: one client never fills all.
"""

import asyncio
import math
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar

WEIGHT: Final = 0.1  # of the newest image in moving averages
FIXED_COST, COST_A_BYTE = 0.002, 20e-9  # seconds, of an image of a size of which none has been decoded
SOONEST, LATEST = 1.0, 60.0  # seconds after which a refused client is asked to return
REMEMBERED: Final = 100_000  # refused clients

Job = TypeVar("Job")


class Cost(NamedTuple):
    """What decoding takes: processor seconds, and seconds that a decoder is busy with it."""

    cpu: float
    busy: float


class Costs:
    """What decoding is expected to take, learned from images of about the same size in bytes.

    A size is told by its bits: 11 for 1,024 to 2,047 bytes.
    """

    def __init__(self) -> None:
        self._known: dict[int, Cost] = {}

    def of(self, bits: int) -> Cost:
        """The cost of an image of a size that has so many bits."""
        known = self._known.get(bits)
        guess = FIXED_COST + COST_A_BYTE * (1 << bits)
        return known or Cost(guess, guess)

    def of_all(self, sizes: Mapping[int, int]) -> Cost:
        """The cost of many images, given how many there are of each size."""
        costs = [(count, self.of(bits)) for bits, count in sizes.items()]
        return Cost(sum(count * cost.cpu for count, cost in costs), sum(n * cost.busy for n, cost in costs))

    def learn(self, size: int, took: Cost) -> None:
        """Learns what an image of `size` bytes took; the first, in a cold decoder, counts as any other."""
        bits = size.bit_length()
        known = zip(self.of(bits), took, strict=True)
        self._known[bits] = Cost(*(old + WEIGHT * (new - old) for old, new in known))


class Turn(NamedTuple, Generic[Job]):
    """A job whose turn it is; `bits` and `cpu`, its size and what it seemed to cost, are for `done`."""

    client_id: str
    job: Job
    bits: int
    cpu: float


@dataclass(slots=True)
class _Client(Generic[Job]):
    clock: float  # processor seconds, comparable between clients
    waiting: deque[tuple[Job, int]] = field(default_factory=deque)  # and the bits of its size
    sizes: Counter[int] = field(default_factory=Counter)  # how many wait of each size
    served: int = 0  # images in decoders

    def took_out(self, bits: int) -> None:
        self.sizes[bits] -= 1
        if not self.sizes[bits]:
            del self.sizes[bits]


class ImageQueue(Generic[Job]):
    """A queue for each client, before `decoders` of which one is kept free (at least 2 in all).

    `monotonic` is the clock, in seconds.
    """

    def __init__(self, decoders: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        assert decoders >= 2
        self.costs = Costs()
        self._decoders = decoders
        self._monotonic = monotonic
        self._clients: dict[str, _Client[Job]] = {}  # that have images here, or had more than their share
        self._served = 0  # images in decoders
        self._begun: Counter[int] = Counter()  # the same by size
        self._clock = 0.0  # of the image that was taken last
        self._some = asyncio.Event()
        self._returns: OrderedDict[str, float] = OrderedDict()  # when the last refused image may return

    def __len__(self) -> int:
        return sum(len(client.waiting) for client in self._clients.values())

    def put(self, client_id: str, job: Job, size: int) -> None:
        """Appends a job of `size` bytes to the client's queue; never refuses, see `expected_wait_seconds`."""
        client = self._clients.setdefault(client_id, _Client(self._clock))
        client.waiting.append((job, size.bit_length()))
        client.sizes[size.bit_length()] += 1
        self._some.set()

    async def get(self) -> Turn[Job]:
        """Waits for the next job; `done` must follow once its image has left the decoder."""
        while (client_id := self._next()) is None:
            self._some.clear()
            await self._some.wait()
        client = self._clients[client_id]
        job, bits = client.waiting.popleft()
        client.took_out(bits)
        client.served += 1
        self._served += 1
        self._begun[bits] += 1
        cpu = self.costs.of(bits).cpu
        self._clock = max(self._clock, client.clock)
        client.clock = self._clock + cpu
        return Turn(client_id, job, bits, cpu)

    def done(self, turn: Turn[Job], cpu: float) -> None:
        """Ends what `get` began; `cpu` is what it took in processor seconds."""
        client = self._clients[turn.client_id]
        client.served -= 1
        self._served -= 1
        self._begun[turn.bits] -= 1
        client.clock += cpu - turn.cpu
        self._forget()
        self._some.set()

    def discard(self, client_id: str, job: Job) -> bool:
        """Takes a job out again; False if it is not waiting any more."""
        client = self._clients.get(client_id)
        found = next((one for one in client.waiting if one[0] is job), None) if client else None
        if client is None or found is None:
            return False
        client.waiting.remove(found)
        client.took_out(found[1])
        return True

    def drain(self) -> list[Job]:
        """Empties every queue; returns the jobs that were waiting."""
        jobs = [job for client in self._clients.values() for job, _ in client.waiting]
        for client in self._clients.values():
            client.waiting.clear()
            client.sizes.clear()
        return jobs

    def expected_wait_seconds(self, client_id: str) -> float:
        """Seconds that an image of that client would be expected to wait for a decoder, if it came now."""
        mine = self._clients.get(client_id) or _Client[Job](self._clock)
        if not mine.waiting and self._may_take(mine):
            return 0.0
        own = self.costs.of_all(mine.sizes)
        before = own.busy + self.costs.of_all(self._begun).busy / 2  # on average those are half done
        for other in self._clients.values():
            if other is not mine and other.waiting:  # served until its clock has passed that of the new image
                queued = self.costs.of_all(other.sizes)
                share = (mine.clock + own.cpu - other.clock) / max(queued.cpu, 1e-9)
                before += queued.busy * min(1.0, max(0.0, share))
        return before / (self._decoders - 1)

    def return_seconds(self, client_id: str, size: int) -> int:
        """Whole seconds after which a refused image of that client should come again.

        Each answer counts as a promise: refused images are spread over the time that decoding them would take
        the client's share of the decoders, or all of them would return together and be refused again.
        """
        now = self._monotonic()
        share = (self._decoders - 1) / max(1, len(self._clients))  # decoders that this client has
        busy = self.costs.of(size.bit_length()).busy / share
        at = min(max(now + SOONEST, self._returns.get(client_id, 0.0) + busy), now + LATEST)
        self._returns[client_id] = at
        self._returns.move_to_end(client_id)
        if len(self._returns) > REMEMBERED:
            self._returns.popitem(last=False)
        return math.ceil(at - now)

    def _may_take(self, client: _Client[Job]) -> bool:
        """Whether a decoder is free for that client; the last one only if it has none."""
        free = self._decoders - self._served
        return free > 1 or (free == 1 and not client.served)

    def _next(self) -> str | None:
        """The client that is furthest behind, of those that have an image and may take a decoder."""
        able = (
            client_id
            for client_id, client in self._clients.items()
            if client.waiting and self._may_take(client)
        )
        return min(able, key=lambda client_id: self._clients[client_id].clock, default=None)

    def _forget(self) -> None:
        """Forgets clients that have nothing here and no more than their share behind them."""
        idle = [
            client_id
            for client_id, client in self._clients.items()
            if not client.waiting and not client.served and client.clock <= self._clock
        ]
        for client_id in idle:
            del self._clients[client_id]
        if not self._served and not any(client.waiting for client in self._clients.values()):
            self._clients.clear()
