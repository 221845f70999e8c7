"""What MSH decides by itself: whether a feed takes a message at all (HL7 v2.5.1 2.14.9; reliability.md, table E)."""

import re

from hl7.ack import FieldRefused, MessageRejected
from hl7.arrival import Arrival
from hl7.rules import rules_of

#: MSH-12.1 that is known (table 0104, as far as hl7apy has it).
VERSIONS = ("2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8", "2.8.1", "2.8.2")


def check(arrival: Arrival) -> None:
    """Refuse what the feed's rules do not let in by MSH-10, MSH-11 or MSH-12, before the message is read."""
    assert arrival.feed
    header, policies = arrival.header, rules_of(arrival.feed).policies
    if arrival.feed.processing_id not in ("", header.component(11, 1).upper()):
        raise MessageRejected("202", "MSH^1^11", "MSH-11: this feed takes only messages of another processing ID")
    if not header[10] and policies["empty_control_id"] == "refuse":
        raise MessageRejected("101", "MSH^1^10", "MSH-10 (message control ID) is empty")
    if not _is_known_version(arrival) and policies["unknown_version"] == "refuse":
        raise MessageRejected("203", "MSH^1^12", f"MSH-12 (version) is empty or none of {' '.join(VERSIONS)}")


def check_text(arrival: Arrival) -> None:
    """Refuse a text with bytes outside its character set, if the feed's rules are so, and tell what was guessed."""
    assert arrival.feed and arrival.message
    if arrival.message.is_replaced and rules_of(arrival.feed).policies["undecodable"] == "refuse":
        where = arrival.header[18] or arrival.feed.default_character_set
        raise FieldRefused("102", "MSH^1^18", f"There are bytes outside the character set {where} (MSH-18)")
    if not _is_known_version(arrival):
        said = arrival.header.component(12, 1)[:8] or "(empty)"
        arrival.message.warnings.append(f"MSH-12 {said} is no version that is known: {_nearest(arrival)} is meant")


def _is_known_version(arrival: Arrival) -> bool:
    return arrival.header.component(12, 1) in VERSIONS


def _nearest(arrival: Arrival) -> str:
    """The newest known version that is not newer than the one said; 2.3 if that is none at all."""
    said = arrival.header.component(12, 1)
    if not re.fullmatch(r"\d(\.\d)+", said):
        return "2.3"
    return next((known for known in reversed(VERSIONS) if known <= said), VERSIONS[0])
