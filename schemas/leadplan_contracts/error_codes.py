"""Error codes on the wire: why a plan was rejected, and why an attempt or a step failed."""

from enum import StrEnum


class RejectionCode(StrEnum):
    """``code`` of a problem in ``PLAN_REJECTED`` (protocol section 2)."""

    INVALID_JSON = "invalid_json"
    MISSING_FIELD = "missing_field"
    INVALID_FIELD = "invalid_field"
    BAD_ID = "bad_id"
    DUPLICATE_STEP_ID = "duplicate_step_id"
    NO_STEPS = "no_steps"
    TOO_MANY_STEPS = "too_many_steps"
    UNKNOWN_STEP = "unknown_step"
    DEPENDENCY_CYCLE = "dependency_cycle"
    SOURCE_NOT_A_DEPENDENCY = "source_not_a_dependency"
    INVALID_PARAMS = "invalid_params"
    DUPLICATE_PLAN_ID = "duplicate_plan_id"
    UNKNOWN_TOOL = "unknown_tool"
    """Nobody announces the step's tool, and executors are told to reject such plans."""
    PLAN_TOO_LARGE = "plan_too_large"
    PREVIOUS_RUN_ACTIVE = "previous_run_active"
    """A schedule fired while an earlier run of it went on, and another firing waits or none may."""
    SCHEDULE_REMOVED = "schedule_removed"
    """The schedule that fired the plan was removed before the run began."""
    POISON_PLAN = "poison_plan"
    """Handling the message crashed again and again, and its plan never began or its log can't be read."""
    MORE_PROBLEMS = "more_problems"
    """Stands last where there are more problems than a message holds; its message says how many."""


class WarningCode(StrEnum):
    """``code`` of a warning of ``plans.validate``: the plan would run, and hardly as its author means it."""

    UNKNOWN_TOOL = "unknown_tool"
    ALREADY_SUBMITTED = "already_submitted"
    APPROVAL_WITHOUT_DEADLINE = "approval_without_deadline"
    TIMEOUT_BEYOND_DEADLINE = "timeout_beyond_deadline"
    RETRIES_BEYOND_DEADLINE = "retries_beyond_deadline"
    RETRIES_BEYOND_BUDGET = "retries_beyond_budget"
    DEADLINE_BEYOND_PLAN = "deadline_beyond_plan"
    AT_MOST_ONCE_RETRIES = "at_most_once_retries"
    SIMILAR_STEP_IDS = "similar_step_ids"
    MORE_WARNINGS = "more_warnings"
    """Stands last where there are more warnings than are listed; its message says how many."""


class StepErrorCode(StrEnum):
    """``errorCode`` that the executor sets; a tool's own codes stand beside these (protocol section 5)."""

    NO_RESPONDERS = "no_responders"
    TIMEOUT = "timeout"
    TOOL_LOST = "tool_lost"
    BAD_REPLY = "bad_reply"
    SERVICE_ERROR = "service_error"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    BUSY = "busy"
    """Also what a busy responder answers; as a failure it means that the tool stayed busy too long."""
    TOOL_ERROR = "tool_error"
    """The tool reported a failure and named no code."""
    CLAIM_CHECK_FAILED = "claim_check_failed"
    """Large data could not be put into the object store."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """An ``atMostOnce`` attempt whose executor died: it is not repeated."""
    DEADLINE_EXCEEDED = "deadline_exceeded"
    POISON_PLAN = "poison_plan"
    """The plan was ended because handling it crashed again and again."""
    DEPENDENCY_FAILED = "dependency_failed"
    DENIED = "denied"
    CANCELLED = "cancelled"
