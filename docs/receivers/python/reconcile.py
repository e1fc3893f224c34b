"""`reconcile.py SUBSCRIPTION SEQ...`: prints the alerts that a receiver has not seen, given the `seq` it has.

RED_STATS_URL and RED_API_KEY say where and who.
"""

import json
import os
import sys
from urllib.parse import urlencode
from urllib.request import Request, urlopen

URL = os.environ.get("RED_STATS_URL", "http://127.0.0.1:6066")
KEY = {"Authorization": f"Bearer {os.environ['RED_API_KEY']}"}
subscription, have = sys.argv[1], set(map(int, sys.argv[2:]))

after = next(n for n in range(len(have) + 1) if n + 1 not in have)  # everything up to here has come
while True:
    page = urlencode({"subscription": subscription, "after": after, "limit": 1000})
    with urlopen(Request(f"{URL}/v1/alerts?{page}", headers=KEY)) as answer:
        alerts = json.load(answer)["items"]
    if not alerts:
        break
    for alert in alerts:
        if alert["seq"] not in have:
            print(json.dumps(alert))
    after = alerts[-1]["seq"]
