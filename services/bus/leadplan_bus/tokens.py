"""Unique tokens for inboxes, instances and objects: valid as one part of a NATS subject."""

from nats.nuid import NUID

_nuid = NUID()


def new_token() -> str:
    """A fresh 22-character token of letters and digits."""
    return _nuid.next().decode()
