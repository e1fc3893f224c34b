"""`red-stats secrets`: the secret keys of an installation."""

import asyncio
import logging
import sys

from cyclopts import App

from red_stats.cli.base import app, done_now, fail

secrets = App(name="secrets", help="The secret keys that seal webhook secrets and sign API keys.")
app.command(secrets)


@secrets.command
def rotate() -> None:
    """Put a new key in front of those in secret.key; services use it once they are started again.

    The keys before stay in the file, since they open what they have sealed.
    """
    from red_common.kafka.audit_log import write
    from red_common.kafka.connection import KafkaError
    from red_common.secret_keys import SecretKeyError
    from red_common.secret_keys import rotate as rotated
    from red_stats.settings import load

    settings = load()
    if settings.secret_key:
        fail("RED_SECRET_KEY is set: put a new key of 64 hex digits in front of it, with a comma, instead", 2)
    try:
        keys = rotated(settings.data)
    except SecretKeyError as error:
        fail(str(error), 2)
    audit = done_now("secrets_rotated", keys.current_id)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        asyncio.run(write(settings.connection, [audit]))
    except (KafkaError, OSError) as error:  # Kafka may be down, or on another machine
        print(f"red-stats: red.audit does not have this: {error!r}"[:300], file=sys.stderr)
    print(f"key {keys.current_id} is in use from the next start of the services; the older ones stay valid")
