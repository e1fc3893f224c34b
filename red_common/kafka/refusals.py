"""Why a cluster refuses this process: what its clients only log, while they ask again for ever."""

import ssl
from typing import Final

from aiokafka import errors
from aiokafka.conn import collect_hosts, create_conn

from red_common.kafka.connection import KafkaConnection, KafkaError

SECONDS: Final = 5.0  # for one broker to answer
NOT_ALLOWED: Final = (
    errors.ClusterAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.TopicAuthorizationFailedError,
    errors.TransactionalIdAuthorizationFailed,
)
ACLS: Final = 'docs/security.md lists the ACLs under "Access to Kafka"'


async def refusal(connection: KafkaConnection) -> str | None:
    """Why no broker lets this process in, with what to set; None if one does, or none answers."""
    reason = None
    for host, port, _ in collect_hosts(connection.bootstrap):
        try:
            conn = await create_conn(
                host, port, request_timeout_ms=int(SECONDS * 1000), **connection.security.options()
            )
        except (KafkaError, OSError, TimeoutError) as error:
            reason = reason or _told(connection, error)
        else:
            conn.close()
            return None
    return reason and f"Kafka at {connection} refuses this process: {reason}"


async def why_failed(connection: KafkaConnection, error: Exception) -> str | None:
    """The refusal behind the failure of a client, None if Kafka is only away."""
    return denied(error) or await refusal(connection)


def denied(error: Exception) -> str | None:
    """What the ACLs of a cluster do not let this process do; None if the error is another one."""
    if not isinstance(error, NOT_ALLOWED):
        return None
    what = " ".join(str(part) for part in error.args)
    return f"Kafka does not let this user do it ({error.message} {what}): {ACLS}"


def _told(connection: KafkaConnection, error: Exception) -> str | None:
    security = connection.security
    if isinstance(error, errors.SaslAuthenticationFailed):
        return f"wrong password of {security.username}, or no such user: check RED_KAFKA_PASSWORD"
    if isinstance(error, errors.UnsupportedSaslMechanismError):
        return f"it does not take {security.mechanism}: set another RED_KAFKA_MECHANISM"
    if isinstance(error, errors.IllegalSaslStateError):
        return (
            f"it does not ask for users there: RED_KAFKA_SECURITY={security.protocol} is not what it speaks"
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted ({error.verify_message}): check RED_KAFKA_CA_FILE"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        return f"TLS failed ({reason}): check RED_KAFKA_SECURITY and RED_KAFKA_CERT_FILE"
    return None
