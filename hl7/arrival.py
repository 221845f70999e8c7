"""A message on its way in, and the feed that it is of."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from hl7.er7 import Message
from hl7.header import Header
from hl7.mapping import Reading
from hl7.models import HEADER_LENGTH, Feed, InboundMessage
from hl7.rules import rules_of
from ris.inputs import Actor
from ris.services.reference import Kept

#: The listener at SUNVIEW_MLLP, which has no row.
DEFAULT_LISTENER = 0

_active_feeds = Kept(lambda: list(Feed.objects.filter(is_active=True)))


@dataclass
class Arrival:
    """A message on its way. ``codec`` is what its text was read with, Latin-1 while that is not known.

    ``actor`` is who replays it; without one it is the sender's own doing. ``facts`` are further columns of its row,
    ``listener`` the key of the Listener that it came by: 0 for SUNVIEW_MLLP, None if it came by none.
    """

    raw: bytes
    peer: str
    header: Header
    feed: Feed | None = None
    message: Message | None = None
    reading: Reading | None = None
    actor: Actor | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    listener: int | None = None

    @property
    def codec(self) -> str:
        return self.message.codec if self.message else "latin-1"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()

    @property
    def codes(self) -> dict[str, str]:
        """The feed's own answer codes."""
        return rules_of(self.feed).codes if self.feed else {}

    def text(self, number: int) -> str:
        return self.header.text(number, self.codec)

    @property
    def sender(self) -> str:
        return f"{self.text(3)}|{self.text(4)}"

    def row(self, outcome: str, **facts: object) -> InboundMessage:
        """The message as it is kept."""
        return InboundMessage(
            feed=self.feed,
            feed_version=self.feed.version if self.feed else None,
            peer=self.peer,
            raw=self.raw,
            sha256=self.sha256,
            message_type=self.text(9)[:HEADER_LENGTH],
            event="^".join(self.header.component(9, number).upper()[:7] for number in (1, 2)).strip("^"),
            control_id=self.text(10)[:HEADER_LENGTH],
            sending_application=self.text(3)[:HEADER_LENGTH],
            sending_facility=self.text(4)[:HEADER_LENGTH],
            outcome=outcome,
            **{**self.facts, **facts},
        )


def feed_of(arrival: Arrival) -> Feed | None:
    """The feed of its listener that names the sender most closely."""
    feeds = sorted(
        (feed for feed in _active_feeds() if arrival.listener in (None, feed.listener_id or DEFAULT_LISTENER)),
        key=lambda feed: (not feed.sending_application, not feed.sending_facility, feed.pk),
    )
    return next((feed for feed in feeds if feed.takes(arrival.text(3), arrival.text(4), arrival.peer)), None)
