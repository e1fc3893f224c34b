"""What a new user can paste: an image in; a live count, a statistic and a webhook out."""

from red_stats.settings import Settings

IMAGE = "docs/images/poppies.jpg"


def welcome(settings: Settings, key: str) -> str:
    """Lines for a shell; the same as in README.md, which a test runs, with the key filled in."""
    red, stats = settings.red_url, settings.stats_url
    bearer = '-H "Authorization: Bearer $KEY"'
    span = "from=2026-01-01T00:00:00Z&to=2100-01-01T00:00:00Z"
    return f"""
The page: {stats}/   the interface: {stats}/docs and {red}/docs
The key of the client demo is in {settings.data}/keys.json. Paste this into another terminal:

KEY={key}
curl -s {bearer} -H "Content-Type: image/jpeg" --data-binary @{IMAGE} {red}/red | tee answer.json
POSITION=$(grep -o '"position":"[^"]*' answer.json | cut -d'"' -f4)
curl -s {bearer} "{stats}/v1/live?at_least=$POSITION"
curl -s {bearer} "{stats}/v1/statistics?{span}&threshold=0.25&at_least=$POSITION"

For alerts, run `.venv/bin/red-stats listen` in a third one, subscribe, and send the image again:

curl -s {bearer} -d '{{"webhook_url": "http://127.0.0.1:9000/", "threshold": 0.25}}' {stats}/v1/subscriptions
"""
