"""Images that wait for a decoder: clients take turns, and nobody waits longer than decoding takes.

The next image is one of a client that has the fewest in decoders, so a client that floods fills its
own queue only, and another client's image waits for a decoder and for nothing else.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar

SHORT_WAIT: Final = 0.005  # seconds nobody is refused for: a burst of small images is no overload
LEAST_COST: Final = 0.001  # seconds of the smallest image
TOLERANCE: Final = 1.05  # costs are guesses
FLOOD: Final = 10.0  # so many images too many are a flood: whoever makes it finds no queue to fill
FLOOD_WAIT: Final = 0.003  # what `SHORT_WAIT` is otherwise
FLOOD_TOLERANCE: Final = 0.45  # what `TOLERANCE` is otherwise
FORGOTTEN: Final = 5.0  # of the images too many, a second
MOST_REMEMBERED: Final = 25.0
WEIGHT: Final = 0.1  # of the newest image in what decoding is expected to cost
SLOWER: Final = 0.5  # of that weight, when it took longer than without a load

Job = TypeVar("Job")


class _Waiting(NamedTuple):
    job: Any
    size: int


class ImageQueue(Generic[Job]):
    """Queues of clients, and what their images are expected to cost `workers` decoders."""

    def __init__(self, workers: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._workers = workers
        self._monotonic = monotonic
        self._too_many, self._counted_at = 0.0, monotonic()
        self._queues: dict[str, deque[_Waiting]] = {}
        self._turns: deque[str] = deque()
        self._some = asyncio.Event()
        self._served: Counter[str] = Counter()  # images in decoders
        self._seconds_a_byte = 20e-9
        self._seconds = 0.01  # an image
        self._unloaded = 0.01  # an image, when it has a processor to itself

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def put(self, client_id: str, job: Job, size: int) -> None:
        """A job of `size` bytes waits behind the client's others."""
        queue = self._queues.get(client_id)
        if queue is None:
            queue = self._queues[client_id] = deque()
            self._turns.append(client_id)
        queue.append(_Waiting(job, size))
        self._some.set()

    async def get(self) -> tuple[str, Job]:
        """The next job and its client, which has one more in decoders until `done`."""
        while not self._turns:
            self._some.clear()
            await self._some.wait()
        client_id = self._next()
        queue = self._queues[client_id]
        job: Job = queue.popleft().job
        if queue:
            self._turns.append(client_id)
        else:
            del self._queues[client_id]
        self._served[client_id] += 1
        return client_id, job

    def done(self, client_id: str) -> None:
        """A job of that client has left its decoder."""
        self._served[client_id] -= 1
        if not self._served[client_id]:
            del self._served[client_id]

    def _next(self) -> str:
        """Who has the fewest images in decoders; among them whoever's turn it is."""
        best = 0
        for at, client_id in enumerate(self._turns):
            if self._served[client_id] < self._served[self._turns[best]]:
                best = at
            if not self._served[self._turns[best]]:  # after as many steps as there are decoders
                break
        chosen = self._turns[best]
        del self._turns[best]
        return chosen

    def drain(self) -> list[Job]:
        """Every job that waits; none does any more."""
        jobs = [waiting.job for queue in self._queues.values() for waiting in queue]
        self._queues.clear()
        self._turns.clear()
        return jobs

    def learn(self, size: int, seconds: float) -> None:
        """An image of that size has taken a decoder that long."""
        self._seconds += WEIGHT * (seconds - self._seconds)
        slower = seconds > self._unloaded
        self._unloaded += WEIGHT * (SLOWER if slower else 1) * (seconds - self._unloaded)
        self._seconds_a_byte += WEIGHT * (seconds / max(size, 1) - self._seconds_a_byte)

    def wait_of(self, client_id: str) -> float:
        """Seconds until an image of that client that came now would be begun, as expected."""
        mine = self._queues.get(client_id, ())
        served = self._served[client_id]
        others = sum(one != client_id and self._served[one] <= served for one in self._queues)
        before = sum(self._cost(waiting.size) for waiting in mine)
        between = others * (len(mine) + 1) * self._seconds
        serving = self._served.total()
        begun = serving * self._seconds / 2  # on the average they are half done
        free = serving + len(self) < self._workers
        return 0.0 if free else (before + between + begun) / self._workers

    def is_full_for(self, client_id: str) -> bool:
        """Whether an image more of that client would wait longer than decoding takes.

        In a flood clients that have images here find the queue shorter; each yes counts towards one.
        """
        now, wait = self._monotonic(), self.wait_of(client_id)
        self._too_many = max(0.0, self._too_many - (now - self._counted_at) * FORGOTTEN)
        self._counted_at = now
        is_here = client_id in self._queues or client_id in self._served
        in_flood = is_here and self._too_many >= FLOOD
        least, tolerance = (FLOOD_WAIT, FLOOD_TOLERANCE) if in_flood else (SHORT_WAIT, TOLERANCE)
        is_full = wait > max(least, tolerance * self._unloaded)
        if is_full:
            self._too_many = min(self._too_many + 1, MOST_REMEMBERED)
        return is_full

    def _cost(self, size: int) -> float:
        return max(LEAST_COST, size * self._seconds_a_byte)
