"""Feeds as files, and their versions: how a feed reads messages is written down each time it is changed."""

import json
from difflib import unified_diff
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from hl7 import rules
from hl7.header import is_character_set
from hl7.models import Feed, FeedVersion

Content = dict[str, Any]

#: What a feed's file holds. Addresses and whether it is active are the site's and stay where they are.
FIELDS = (
    "name",
    "sending_application",
    "sending_facility",
    "default_character_set",
    "default_assigning_authority",
    "ack_mode",
    "processing_id",
    "preset",
    "mapping",
)
_INSTALLED = "as installed"


def content(feed: Feed) -> Content:
    """All that decides how the feed's messages are read."""
    return {name: getattr(feed, name) for name in FIELDS}


def effective(feed: Feed) -> Content:
    """The whole mapping: the preset with the site's changes over it."""
    return rules.over(rules.preset(feed.preset), feed.mapping)


def text(of: Content) -> str:
    """A feed's content as its file has it."""
    return json.dumps(of, indent=2, ensure_ascii=False) + "\n"


def difference(old: Content, new: Content) -> list[str]:
    """The lines that differ, with - and + in front; none if nothing does."""
    lines = unified_diff(text(old).splitlines(), text(new).splitlines(), "before", "after", lineterm="", n=1)
    return list(lines)


def check(feed: Feed) -> None:
    """ValidationError with a sentence for each thing about a feed that is not in order."""
    faults: dict[str, Any] = {}
    if not is_character_set(feed.default_character_set):
        faults["default_character_set"] = "This is not a character set of HL7 table 0211 that Sunview knows"
    try:
        rules.check(feed.preset, feed.mapping)
    except ValidationError as error:
        faults["mapping"] = error.messages
    if faults:
        raise ValidationError(faults)


@transaction.atomic
def save(feed: Feed, who: str) -> FeedVersion:
    """Keep a new or changed feed, with a version of its own if it now reads messages otherwise. ValidationError."""
    feed.full_clean()
    check(feed)
    before = Feed.objects.select_for_update().filter(pk=feed.pk).first()
    feed.version = before.version if before else 1
    last = _version(before, _INSTALLED) if before else None
    if before and content(before) != content(feed):
        feed.version += 1
    feed.save()
    return last if last and last.number == feed.version else _version(feed, who)


def _version(feed: Feed, who: str) -> FeedVersion:
    row, _created = FeedVersion.objects.get_or_create(
        feed=feed, number=feed.version, defaults={"content": content(feed), "who": who}
    )
    return row


def read(file_text: str) -> Feed:
    """The feed of a file, new or as it would be, not saved. ValidationError with a sentence for what is wrong."""
    try:
        document = json.loads(file_text)
    except ValueError as error:
        raise ValidationError(f"The file is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("name"), str):
        raise ValidationError('The file is not a feed: it begins with {"name": ...')
    if unknown := sorted(set(document) - set(FIELDS)):
        raise ValidationError(f"{', '.join(unknown)}: a feed's file has no such line; known are {', '.join(FIELDS)}")
    if wrong := [name for name, value in document.items() if name != "mapping" and not isinstance(value, str)]:
        raise ValidationError(f"{', '.join(wrong)} is not a text")
    feed = Feed.objects.filter(name=document["name"]).first() or Feed(name=document["name"])
    for name, value in document.items():
        setattr(feed, name, value)
    return feed
