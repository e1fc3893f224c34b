"""The worker that runs the apps of a process."""

import mode

from red_stats.faust.worker import Worker


class Part(mode.Service):
    started = False

    async def on_start(self):
        self.started = True


async def test_a_worker_that_is_stopped_while_it_waits_for_kafka_starts_no_role():
    async def stop(worker):
        worker._stopped.set()  # as a signal does, in its own time

    class Away:
        async def __aenter__(self):
            await stop(worker)
            raise OSError("Kafka is away")

        async def __aexit__(self, *error):
            raise AssertionError("was not entered")

    part = Part()
    worker = Worker(part, shared=[Away], fatal=exit, redirect_stdouts=False)
    await worker.on_start()
    assert not part.started
