"""The executor's settings, all from the environment."""

import socket

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from leadplan_bus.connection import DEFAULT_URL
from leadplan_bus.topology import DAY_SECONDS, Retention


class ExecutorSettings(BaseSettings):
    """Read from the environment: ``NATS_URL``, and every other field with the prefix ``LEADPLAN_``."""

    model_config = SettingsConfigDict(env_prefix="LEADPLAN_", extra="ignore")

    nats_url: SecretStr = Field(
        default=SecretStr(DEFAULT_URL),
        validation_alias="NATS_URL",
        description="Address of the NATS server, or several separated by commas; may hold user and password.",
    )
    executor_name: str = Field(
        default_factory=socket.gethostname,
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="Shown in PLAN_STARTED and PLAN_RESUMED, with a random part added; default: the host's name.",
    )
    max_plans: int = Field(
        default=512, ge=1, le=100_000, description="Plans that this executor runs at once; more stay in the queue."
    )
    reserved_plans_percent: int = Field(
        default=25,
        ge=0,
        le=90,
        description="This part of LEADPLAN_MAX_PLANS is kept free of accounts that have many plans running already, so "
        "that others needn't wait for them; 0 where all plans are one account's.",
    )
    max_plans_in_queue_group: int = Field(
        default=20_000,
        ge=1,
        description="Plans that all executors together may have under way (max_ack_pending of each consumer).",
    )
    lease_ms: int = Field(
        default=4_000, ge=500, le=600_000, description="An executor silent for so long loses its plans to another one."
    )
    max_takeovers: int = Field(
        default=5,
        ge=1,
        le=1_000,
        description="A plan whose handling crashed so often is ended as failed, with `poison_plan`.",
    )
    stall_limit_ms: int = Field(
        default=20_000,
        ge=500,
        description="A process that computes for so long without looking at anything else ends itself.",
    )
    grace_ms: int = Field(
        default=10_000, ge=0, le=3_600_000, description="On SIGTERM, running attempts may go on for so long."
    )
    busy_limit_ms: int = Field(
        default=3_600_000,
        ge=0,
        description="A tool may answer `busy` to one attempt for so long; then the attempt fails.",
    )
    park_after_ms: int = Field(
        default=30_000,
        ge=0,
        description="A plan that only waits for a time, and for longer than this, is let go until then; one that waits "
        "for a person is let go at once.",
    )
    discovery_interval_ms: int = Field(
        default=5_000, ge=100, description="How often the responders' announcements (tools and schemas) are read."
    )
    unknown_tools: str = Field(
        default="attempt",
        pattern="^(attempt|reject)$",
        description="What becomes of a plan that names a tool which nobody announces: `attempt` it, for a plain "
        "subscriber may serve it, or `reject` it.",
    )
    connect_timeout_ms: int = Field(
        default=30_000,
        ge=100,
        description="How long to wait at start-up, for the NATS server and then for JetStream, before giving up.",
    )
    server_lost_limit_ms: int = Field(
        default=300_000,
        ge=1_000,
        description="An executor that gets no answer from JetStream for so long ends, with exit code 1.",
    )
    server_checks: str = Field(
        default="warn",
        pattern="^(warn|refuse|off)$",
        description="What is done at start-up about a NATS server that isn't safe: `warn` of it, `refuse` it, or "
        "`off`: don't look.",
    )
    nats_monitoring_url: str = Field(
        default="",
        pattern="^(https?://.+)?$",
        description="Monitoring port of the NATS server, such as `http://nats:8222`: the checks read `sync_interval` "
        "there.",
    )
    replicas: int = Field(default=1, ge=1, le=5, description="Copies of each stream that is created; 3 in a cluster.")
    plans_max_age_s: float = Field(
        default=14 * DAY_SECONDS,
        ge=60,
        description="A plan that no executor finished for so long is dropped from the queue.",
    )
    plan_log_max_age_s: float = Field(
        default=30 * DAY_SECONDS, ge=60, description="How long events are kept; at least LEADPLAN_PLANS_MAX_AGE_S."
    )
    rejects_max_age_s: float = Field(
        default=30 * DAY_SECONDS, ge=60, description="How long rejected submissions are kept."
    )
    data_max_age_s: float = Field(
        default=30 * DAY_SECONDS,
        ge=60,
        description="How long data in the object store is kept (as long as the log, at least).",
    )
    log_level: str = Field(
        default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR."
    )

    @model_validator(mode="after")
    def _ages_fit(self) -> "ExecutorSettings":
        if self.plan_log_max_age_s < self.plans_max_age_s:
            raise ValueError("LEADPLAN_PLAN_LOG_MAX_AGE_S must be at least LEADPLAN_PLANS_MAX_AGE_S")
        if self.data_max_age_s < self.plan_log_max_age_s:
            raise ValueError("LEADPLAN_DATA_MAX_AGE_S must be at least LEADPLAN_PLAN_LOG_MAX_AGE_S")
        return self

    @property
    def longest_wait_ms(self) -> int:
        """So long after its start a plan that only waits is ended: before its log ages out, by a tenth of its age."""
        return int(self.plan_log_max_age_s * 900)

    @property
    def retention(self) -> Retention:
        """What the streams keep, for those that are created."""
        return Retention(
            replicas=self.replicas,
            plans_seconds=self.plans_max_age_s,
            plan_log_seconds=self.plan_log_max_age_s,
            rejects_seconds=self.rejects_max_age_s,
            data_seconds=self.data_max_age_s,
        )
