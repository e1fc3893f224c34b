"""`python -m bench [NAME ...]`: each benchmark runs a peer or a limit beside us and prints the ratio."""

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
    "deliveries": "a page of deliveries of a client with a million of them, ms",
    "hostile": "one hostile client in each of many ways beside an honest one, webhook p95",
    "startup": "`red-stats up`: seconds to ready, memory",
}


def main() -> None:
    wanted = sys.argv[1:] or list(BENCHES)
    unknown = [name for name in wanted if name not in BENCHES]
    if unknown or "--help" in wanted:
        for name, meaning in BENCHES.items():
            print(f"{name:<10} {meaning}")
        raise SystemExit(0 if "--help" in wanted else f"no benchmark {', '.join(unknown)}")
    for name in wanted:
        print(f"== {name}: {BENCHES[name]}", flush=True)
        import_module(f"bench.{name}").main()


if __name__ == "__main__":
    main()
