"""Sequences (formerly campaigns), their recipients and the mails that these get, held in memory."""

from dataclasses import dataclass, field
from typing import Any

from leadplan_sandbox.hunter.errors import HunterApiError
from leadplan_sandbox.hunter.params import is_email
from leadplan_sandbox.world.people import Mailbox, person_with_email

BATCH = 50
"""Addresses that one call may add or take out."""


@dataclass
class Sequence:
    """A sequence, who is in it, and who was mailed.

    Attributes:
        ours: whether it belongs to the owner of the key, and not to another member of the team.
        content: whether its first mail is written (by hand, in Hunter's dashboard).
        sender: whether an e-mail account is connected.
        status: one of Hunter's words; mails go out while it is ``active``.
        recipients: addresses in the order in which they were added.
        mailed: an address for each mail that went out. Whoever is taken out and added again is mailed again.
    """

    id: int
    name: str
    ours: bool = True
    content: bool = True
    sender: bool = True
    status: str = "draft"
    recipients: list[str] = field(default_factory=list)
    mailed: list[str] = field(default_factory=list)
    _waiting: list[str] = field(default_factory=list)

    @property
    def started(self) -> bool:
        """Whether it was ever started."""
        return self.status != "draft"

    def listed(self) -> dict[str, Any]:
        """An item of the list of sequences."""
        return {
            "id": self.id,
            "name": self.name,
            "recipients_count": len(self.recipients),
            "editable": self.ours and not self.started,
            "started": self.started,
            "archived": self.status == "archived",
            "paused": self.status == "paused",
        }

    def detailed(self) -> dict[str, Any]:
        """``data`` of ``GET /sequences/{id}``."""
        return self.listed() | {
            "status": self.status,
            "schedule": {"start_at": None, "time_start": "09:00", "time_end": "17:00", "days": [1, 2, 3, 4, 5]},
            "settings": {"tracked": True, "add_unsubscribe_link": True},
            "email_account_ids": [1] if self.sender else [],
            "follow_ups": {"unique_steps_count": 1, "steps": []},
            "owner": {"email": "owner@sandbox.example" if self.ours else "colleague@sandbox.example"},
        }

    def add(self, emails: list[str]) -> dict[str, Any]:
        """Take recipients in; returns how many, and who was skipped and why. A sequence that runs mails them at once.

        Raises:
            HunterApiError: 422 when it is archived. (No document says what happens then; an archive takes nothing in.)
        """
        if self.status == "archived":
            raise HunterApiError(422, "sequence_not_active", "This sequence is archived.")
        added, skipped = 0, []
        for email in emails:
            reason = "duplicate" if email in self.recipients else Mailbox(email).refusal
            if reason is not None:
                skipped.append({"email": email, "reason": reason})
                continue
            self.recipients.append(email)
            self._waiting.append(email)
            added += 1
        self._send()
        return {"recipients_added": added, "skipped_recipients": skipped}

    def cancel(self, emails: list[str]) -> dict[str, Any]:
        """Take recipients out; addresses that aren't in are passed over."""
        canceled = [email for email in dict.fromkeys(emails) if email in self.recipients]
        self.recipients = [email for email in self.recipients if email not in canceled]
        self._waiting = [email for email in self._waiting if email not in canceled]
        return {"recipients_canceled": canceled, "messages_canceled": len(canceled) if self.started else 0}

    def start(self) -> dict[str, Any]:
        """Start sending; once started, a repeat changes nothing.

        Raises:
            HunterApiError: 422 when content, sender or recipients are missing.
        """
        if self.started:
            return {"message": "Sequence already started.", "recipients_count": len(self.recipients)}
        self._check_complete("started")
        self.status = "active"
        self._send()
        return {"message": "Sequence started.", "recipients_count": len(self.recipients)}

    def pause(self) -> dict[str, Any]:
        """Stop sending for a while; a repeat changes nothing.

        Raises:
            HunterApiError: 422 when it wasn't started, or is over.
        """
        if self.status not in ("active", "paused"):
            raise self._not_active()
        self.status = "paused"
        return {"id": self.id, "paused": True}

    def resume(self) -> dict[str, Any]:
        """Send again, also to those who came in meanwhile.

        Raises:
            HunterApiError: 422 when it wasn't started, is over, or lacks what a start needs.
        """
        if self.status not in ("active", "paused"):
            raise self._not_active()
        self._check_complete("resumed")
        self.status = "active"
        self._send()
        return {"id": self.id, "paused": False}

    def archive(self) -> dict[str, Any]:
        """Put it away for good; a repeat changes nothing."""
        self.status = "archived"
        return {"id": self.id, "archived": True}

    def _send(self) -> None:
        if self.status == "active":
            self.mailed += self._waiting
            self._waiting.clear()

    def _not_active(self) -> HunterApiError:
        error_id = "sequence_not_active" if self.started else "sequence_not_started"
        return HunterApiError(422, error_id, f"The sequence isn't active, it is {self.status}.")

    def _check_complete(self, doing: str) -> None:
        missing = [
            text
            for present, text in (
                (self.content, "its first email has no content"),
                (self.sender, "no email account is connected"),
                (self.recipients, "it has no recipients"),
            )
            if not present
        ]
        if missing:
            raise HunterApiError(422, "validation_failed", f"The sequence can't be {doing}: {', '.join(missing)}.")


def default_sequences() -> dict[int, Sequence]:
    """42 and 52 can be started, 43 and 53 can't, 44 is a colleague's, 45 runs; 46 to 51 have the other statuses."""
    sequences = (
        Sequence(42, "Outreach"),
        Sequence(43, "Unwritten draft", content=False),
        Sequence(44, "A colleague's sequence", ours=False),
        Sequence(45, "Running already", status="active"),
        Sequence(46, "Paused", status="paused"),
        Sequence(47, "Archived", status="archived"),
        Sequence(48, "Completed", status="completed"),
        Sequence(49, "Broken", status="error"),
        Sequence(50, "Planned for later", status="planned"),
        Sequence(51, "In preparation", status="preparing"),
        Sequence(52, "A second draft"),
        Sequence(53, "Draft without a sender", sender=False),
    )
    return {sequence.id: sequence for sequence in sequences}


def recipient_json(email: str) -> dict[str, Any]:
    """A recipient as the list of recipients shows it."""
    person = person_with_email(email)
    company = person.company if person else None
    return {
        "email": email,
        "first_name": person.first_name if person else None,
        "last_name": person.last_name if person else None,
        "position": person.position if person else None,
        "company": company.name if company else None,
        "website": company.domain if company else None,
        "sending_status": None,
        "lead_id": None,
    }


def addresses(fields: dict[str, Any]) -> list[str]:
    """The addresses that a call names in ``emails``: one text or a list.

    Raises:
        HunterApiError: 400 for none, for more than 50, for a malformed one; 404 for a lead (the sandbox has no leads).
    """
    if fields.get("lead_ids"):
        raise HunterApiError(404, "not_found", "At least one of the leads doesn't exist.")
    emails = fields.get("emails") or []
    wanted = [emails] if isinstance(emails, str) else emails
    if not isinstance(wanted, list) or not wanted:
        raise HunterApiError(400, "wrong_params", "You are missing the emails or lead_ids parameter")
    if len(wanted) > BATCH:
        raise HunterApiError(400, "wrong_params", f"At most {BATCH} emails are allowed at once.")
    for email in wanted:
        if not isinstance(email, str) or not is_email(email):
            raise HunterApiError(400, "invalid_email", f"'{email}' is no valid email address.")
    return [email.strip().lower() for email in wanted]
