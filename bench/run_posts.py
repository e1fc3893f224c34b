"""`python -m bench.run_posts TASK`: a bare aiohttp loop that POSTs the same webhook to each of some URLs.

TASK is JSON: `urls`, `together` (POSTs under way to each), `count` (in all), `headers`, `body`. The last
line of stdout says how many there were a second.
"""

import asyncio
import json
import sys
import time
from typing import Any

import aiohttp
import uvloop


async def main(task: dict[str, Any]) -> None:
    urls, together, body = task["urls"], task["together"], task["body"].encode()
    each = task["count"] // (len(urls) * together)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def posts(url: str) -> None:
            for _ in range(each):
                async with session.post(url, data=body, headers=task["headers"]) as answer:
                    assert answer.status == 204, answer.status

        start = time.perf_counter()
        await asyncio.gather(*(posts(url) for url in urls for _ in range(together)))
        seconds = time.perf_counter() - start
    print(json.dumps({"a_second": each * len(urls) * together / seconds}))


if __name__ == "__main__":
    uvloop.run(main(json.loads(sys.argv[1])))
