"""`python -m bench [NAME ...]`: each benchmark runs a peer or a limit beside us and prints the ratio.

A name of a folder, such as `deliver`, runs everything in it. With RED_BENCH_FULL=1 those of `deliver` have
the sizes of their goals.
"""

import sys
from importlib import import_module

BENCHES = {
    "counting": "role live against a bare consumer and a stock Faust agent, events/s",
    "recording": "role record against inserts of the same rows and nothing else, rows/s",
    "peers": "role live against Faust, Quix, Bytewax, Kafka Streams, PostgreSQL; bench.peers --install",
    "whole": "CPU of roles live and record against PostgreSQL + Redis that keep the events too",
    "flat": "CPU an event of role live that holds 1, 1,000, 100,000 and a million clients",
    "shares": "where the processor time of roles live and record goes; needs py-spy",
    "recovery": "a million clients and 100,000 pending deliveries: from start to ready, memory",
    "measuring": "an image beside libjpeg-turbo that only decodes it; memory",
    "http": "RED over HTTP with storage and Kafka",
    "overload": "0.6, 1 and 2 times what this machine can take, and one client's flood beside another",
    "latency": "image posted to webhook received at 0.6 of this machine's capacity",
    "deliver.rate": "webhooks to 50 endpoints beside a bare aiohttp loop that POSTs the same, a second",
    "deliver.comeback": "an endpoint that was dead gets what waited for it, beside another client's alerts",
    "deliver.storm": "a backfill of one client that alerts about every image beside another client's alerts",
    "deliver.cost": "processor time of every part for an image, 100 images/s, 5 % of which alert",
    "deliver.streams": "a thousand streams of alerts: memory, and what webhooks and events take meanwhile",
    "deliveries": "a page of deliveries of a client with a million of them, ms",
    "statistics": "statistics of small and very big clients among 100 M rows, beside PostgreSQL, ms",
    "preview": "a preview of a year of a million images of a client, ms",
    "hostile": "one hostile client in each of many ways beside an honest one, webhook p95",
    "startup": "`red-stats up`: seconds to ready, memory",
}


def main() -> None:
    named = sys.argv[1:] or list(BENCHES)
    unknown = [one for one in named if not _of(one)]
    if unknown or "--help" in named:
        for name, meaning in BENCHES.items():
            print(f"{name:<16} {meaning}")
        raise SystemExit(0 if "--help" in named else f"no benchmark {', '.join(unknown)}")
    for name in dict.fromkeys(name for one in named for name in _of(one)):
        print(f"== {name}: {BENCHES[name]}", flush=True)
        import_module(f"bench.{name}").main()


def _of(named: str) -> list[str]:
    """The benchmark of a name, or all of a folder."""
    return [name for name in BENCHES if name == named or name.startswith(f"{named}.")]


if __name__ == "__main__":
    main()
