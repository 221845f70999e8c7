"""What a message is, and when it was said, which puts messages that overtook each other into order
(ris.services.precedence)."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.conf import settings

from hl7 import datatypes
from hl7.er7 import Message
from hl7.groups import Scope

#: Message types of one event alone; before v2.3 MSH-9 had no event.
_ONLY_EVENT = {"ORM": "O01", "OMI": "O23", "OMG": "O19", "ORU": "R01"}


def event(message: Message) -> tuple[str, str]:
    """MSH-9.1 and the event: MSH-9.2, else EVN-1, else the only one of that type."""
    kind = message.header.component(9, 1).upper()
    said = message.header.component(9, 2) or message.value("EVN-1.1") or _ONLY_EVENT.get(kind, "")
    return kind, said.upper()


def message_time(message: Message) -> datetime | None:
    """MSH-7, aware; None if it is no time with hours and minutes, as that of #055 and #065."""
    return _moment(message.value("MSH-7.1"))


def order_time(scope: Scope, said_at: datetime | None) -> datetime | None:
    """ORC-9, the time of the transaction, else that of the message."""
    return _moment(scope.value("ORC-9.1")) or said_at


def usable_time(*texts: str | None) -> datetime | None:
    """The first of the texts that is a time with hours and minutes, aware; None if none is."""
    return next((at for text in texts if (at := _moment(text))), None)


def _moment(text: str | None) -> datetime | None:
    if not text or not datatypes.has_time(text):
        return None
    try:
        at = datatypes.moment(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=ZoneInfo(settings.TIME_ZONE))
