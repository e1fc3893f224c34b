"""What a new user can paste into a shell: an image in; a live count, a statistic and a webhook out."""

import os
import sys
from pathlib import Path
from shlex import quote

from red_stats.settings import Settings

IMAGE = Path(__file__).with_name("poppies.jpg")


def welcome(settings: Settings, key: str) -> str:
    """Lines for a shell: those of README.md, which a test runs, with the key filled in."""
    image, program = _from_here(IMAGE), _from_here(Path(sys.executable).with_name("red-stats"))
    red, stats = settings.red_url, settings.stats_url
    trusted = settings.tls_ca or settings.tls_cert
    bearer = '-H "Authorization: Bearer $KEY"' + (f" --cacert {quote(str(trusted))}" if trusted else "")
    span = "from=2026-01-01T00:00:00Z&to=2100-01-01T00:00:00Z"
    return f"""
Web page: {stats}/   API documentation: {stats}/docs and {red}/docs
The key of the client demo is in {settings.data}/keys.json. Paste this into another terminal:

KEY={key}
curl -s {bearer} -H "Content-Type: image/jpeg" --data-binary @{image} {red}/red | tee answer.json
POSITION=$(grep -o '"position":"[^"]*' answer.json | cut -d'"' -f4)
curl -s {bearer} "{stats}/v1/live?at_least=$POSITION"
curl -s {bearer} "{stats}/v1/statistics?{span}&threshold=0.25&at_least=$POSITION"

For alerts, run `{program} listen` in another terminal, subscribe, and send the image again:

curl -s {bearer} -d '{{"webhook_url": "http://127.0.0.1:9000/", "threshold": 0.25}}' {stats}/v1/subscriptions
"""


def _from_here(path: Path) -> str:
    """A path as a person would type it: relative, if it is below the working directory."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
