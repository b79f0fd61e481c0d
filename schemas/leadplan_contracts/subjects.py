"""Every subject, stream, bucket and header of the contract, by name (protocol sections 1, 4 and 5)."""

from typing import Final, Literal

# --- subjects
PLANS_EXECUTE: Final = "plans.execute"
"""Plans come in here (stream ``PLANS``)."""
PLAN_EVENTS_ALL: Final = "plans.events.*"
"""The live feed of all plans (core NATS)."""
PLAN_LOG_ALL: Final = "plans.log.*"
PLAN_SCHEDULE_ALL: Final = "plans.schedule.*"
PLAN_REJECTED_ALL: Final = "plans.rejected.*"
PLAN_WAKE_ALL: Final = "plans.wake.*"
PLAN_TIMER_ALL: Final = "plans.timer.*"
PLAN_LANE_ALL: Final = "plans.lane.*.*"
CONTROL_ENDPOINTS: Final = ("status", "validate", "list", "cancel", "pause", "resume", "retry", "approve")
"""Endpoints of the micro service ``leadplan-executor``, each on ``plans.<name>``."""

UNREADABLE_PLAN_ID: Final = "_unreadable"
"""Stands for the plan id of a message whose plan id can't be read."""


def plan_events_subject(plan_id: str) -> str:
    """Live feed of one plan."""
    return f"plans.events.{plan_id}"


def plan_log_subject(plan_id: str) -> str:
    """The stored events of one plan (stream ``PLAN_LOG``)."""
    return f"plans.log.{plan_id}"


def plan_schedule_subject(monitor_id: str) -> str:
    """The message schedule of one monitor (stream ``PLANS``)."""
    return f"plans.schedule.{monitor_id}"


def plan_rejected_subject(plan_id: str) -> str:
    """Rejected submissions under this plan id (stream ``PLAN_REJECTS``)."""
    return f"plans.rejected.{plan_id}"


def plan_control_subject(endpoint: str) -> str:
    """An endpoint of the micro service ``leadplan-executor``, such as ``plans.cancel``."""
    return f"plans.{endpoint}"


def plan_wake_subject(plan_id: str) -> str:
    """Where an executor is asked to take up a plan that nobody holds (stream ``PLANS``); executors only."""
    return f"plans.wake.{plan_id}"


def plan_timer_subject(plan_id: str) -> str:
    """The message schedule that wakes a plan that only waits (stream ``PLANS``); executors only."""
    return f"plans.timer.{plan_id}"


def plan_lane_subject(lane: int | Literal["*"], account: str) -> str:
    """A lane of the queue, and whose plans wait there (stream ``PLANS``); executors only. The account is one token."""
    return f"plans.lane.{lane}.{account}"


def lane_consumer(lane: int) -> str:
    """The durable pull consumer of a lane, which all executors share."""
    return f"lane-{lane}"


def plan_owner_subject(executor: str) -> str:
    """Where an executor instance hears control requests for the plans that it holds (core NATS); executors only."""
    return f"plans.owner.{executor.replace('.', '_')}"


def tool_subject(tool: str) -> str:
    """Where the responders of a tool take requests."""
    return f"tools.{tool}"


def tool_cancel_subject(tool: str) -> str:
    """Where every responder of a tool hears that work is no longer wanted."""
    return f"tools.{tool}.cancel"


def limit_held_subject(fingerprint: str) -> str:
    """Where a responder tells the others that a limit is held, for a provider asked for a pause (core NATS).

    The fingerprint stands for a limit, such as that of an API key: 32 hexadecimal digits.
    """
    return f"limits.held.{fingerprint}"


# --- streams, consumers, buckets
PLANS_STREAM: Final = "PLANS"
PLAN_LOG_STREAM: Final = "PLAN_LOG"
PLAN_REJECTS_STREAM: Final = "PLAN_REJECTS"
EXECUTORS_CONSUMER: Final = "executors"
"""The durable pull consumer on ``plans.execute`` that all executors share."""
WAKES_CONSUMER: Final = "wakes"
"""Likewise on ``plans.wake.*``: plans to be taken up again don't wait behind new ones."""
PLAN_LANES: Final = 5
"""How many lanes there are. Executors decide what waits in which."""
PLAN_DATA_BUCKET: Final = "PLAN_DATA"
"""Object store for data too large for messages."""
TOOL_RESULTS_BUCKET: Final = "TOOL_RESULTS"
"""Key-value bucket in which responders remember what they did under which idempotency key."""
TOOL_CHECKPOINTS_BUCKET: Final = "TOOL_CHECKPOINTS"
"""Key-value bucket in which responders keep finished work of steps that are still to succeed."""

MONITOR_RUNS_BUCKET: Final = "MONITOR_RUNS"
"""Key-value bucket in which executors note which run of a recurring plan goes on, by the id of its recurrence."""
PLAN_TAKEOVERS_BUCKET: Final = "PLAN_TAKEOVERS"
"""Key-value bucket in which executors count deliveries of a plan that ended badly, by its sequence in ``PLANS``."""
PLAN_INDEX_BUCKET: Final = "PLAN_INDEX"
"""Key-value bucket with a summary of each plan, by its id: what ``plans.list`` reads. The log is what counts."""

# --- queue groups and micro services
RESPONDER_QUEUE_GROUP: Final = "q"
EXECUTOR_SERVICE_NAME: Final = "leadplan-executor"

# --- headers (nats-py looks them up by exact case)
TRACEPARENT_HEADER: Final = "traceparent"
IDEMPOTENCY_KEY_HEADER: Final = "Idempotency-Key"
ATTEMPT_HEADER: Final = "Leadplan-Attempt"
REPLY_KIND_HEADER: Final = "Leadplan-Reply"
REPLY_KIND_WORKING: Final = "working"
"""Value of ``Leadplan-Reply`` on a sign of life; a message without the header is the final reply."""
EXECUTOR_HEADER: Final = "Leadplan-Executor"
"""Which executor instance appended an event: how an append whose answer was lost is recognised as one's own."""
SUBMISSION_HEADER: Final = "Leadplan-Submission"
"""On a plan that an executor moved to a lane: the stream sequence that the plan was submitted as."""
SCHEDULER_HEADER: Final = "Nats-Scheduler"
"""Set by the server on a message that a schedule fired."""
SCHEDULE_NEXT_HEADER: Final = "Nats-Schedule-Next"
"""Beside ``Nats-Scheduler``: when the schedule fires next, or ``purge`` where it doesn't."""
SCHEDULE_HEADER: Final = "Nats-Schedule"
"""Makes a message on ``plans.schedule.<monitorId>`` a schedule: six-field cron, ``@every`` or ``@at``."""
SCHEDULE_TARGET_HEADER: Final = "Nats-Schedule-Target"
SCHEDULE_TIME_ZONE_HEADER: Final = "Nats-Schedule-Time-Zone"
SERVICE_ERROR_HEADER: Final = "Nats-Service-Error"
SERVICE_ERROR_CODE_HEADER: Final = "Nats-Service-Error-Code"
STATUS_HEADER: Final = "Status"
EXPECTED_LAST_SUBJECT_SEQUENCE_HEADER: Final = "Nats-Expected-Last-Subject-Sequence"

CE_SPECVERSION_HEADER: Final = "ce-specversion"
CE_ID_HEADER: Final = "ce-id"
CE_SOURCE_HEADER: Final = "ce-source"
CE_TYPE_HEADER: Final = "ce-type"
CE_SUBJECT_HEADER: Final = "ce-subject"
CE_TIME_HEADER: Final = "ce-time"
CE_DATACONTENTTYPE_HEADER: Final = "ce-datacontenttype"
CE_TYPE_PREFIX: Final = "io.leadplan.event."
CE_SOURCE: Final = "/leadplan/executor"

# --- endpoint metadata of the executor's control endpoints
REQUEST_SCHEMA_METADATA: Final = "request_schema"
REPLY_SCHEMA_METADATA: Final = "reply_schema"

# --- endpoint metadata of a responder
TOOL_METADATA: Final = "tool"
PARAMS_SCHEMA_METADATA: Final = "params_schema"
EFFECTS_METADATA: Final = "effects"

# --- limits
MAX_INLINE_DATA_BYTES: Final = 256 * 1024
"""Data above this goes to the object store (protocol section 4)."""
MAX_PLAN_IN_REQUEST_BYTES: Final = 32 * 1024
"""A plan whose JSON is larger goes to tools without its steps (protocol section 5)."""
SIGN_OF_LIFE_TIMEOUT_MS: Final = 15_000
"""After a first sign of life, so long a silence means that the tool is lost (protocol section 5)."""
