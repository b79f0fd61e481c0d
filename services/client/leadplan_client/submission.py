"""Putting a submission into the work queue, and saying clearly why it isn't there."""

from collections.abc import Mapping

from nats.aio.client import Client
from nats.errors import ConnectionClosedError, NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError, ServiceUnavailableError

from leadplan_bus.errors import JetStreamDisabledError
from leadplan_bus.leaders import is_jetstream_off
from leadplan_bus.limits import encoded_size
from leadplan_client.errors import (
    ConnectionLostError,
    PlanTooLargeError,
    StreamsMissingError,
    SubmissionRefusedError,
    SubmissionUnconfirmedError,
)
from leadplan_contracts.subjects import PLANS_EXECUTE, PLANS_STREAM

MESSAGE_ID_HEADER = "Nats-Msg-Id"


async def publish_submission(
    nc: Client, js: JetStreamContext, body: bytes, headers: Mapping[str, str] | None = None
) -> int:
    """Publish on ``plans.execute`` and wait for the acknowledgement; the errors are those of ``PlanClient.submit``."""
    size = encoded_size(body, headers)
    if size > nc.max_payload:
        raise PlanTooLargeError(size, nc.max_payload)
    try:
        return (await js.publish(PLANS_EXECUTE, body, headers=dict(headers) if headers else None)).seq
    except NoStreamResponseError:
        await require_stream(js, PLANS_STREAM)
        raise SubmissionRefusedError(f"stream {PLANS_STREAM} has no leader at the moment, try again") from None
    except APIError as error:
        raise SubmissionRefusedError(error.description or str(error)) from error
    except NatsTimeoutError:
        raise SubmissionUnconfirmedError from None
    except ConnectionClosedError:
        raise ConnectionLostError from None


async def require_stream(js: JetStreamContext, stream: str) -> None:
    """Tell a server without JetStream, and one without our streams, from one that is only slow.

    Raises:
        leadplan_bus.errors.JetStreamDisabledError: the server has no JetStream.
        StreamsMissingError: the stream isn't there.
    """
    try:
        await js.stream_info(stream)
    except NotFoundError:
        raise StreamsMissingError(stream) from None
    except ServiceUnavailableError as error:
        if is_jetstream_off(error):
            raise JetStreamDisabledError from None
        # A cluster that elects its leaders says so.
    except NoRespondersError:
        raise JetStreamDisabledError from None
    except NatsTimeoutError:
        return
    except ConnectionClosedError:
        raise ConnectionLostError from None
