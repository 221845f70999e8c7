"""How values of the standard are read by people."""

import re
from datetime import date, datetime

from django import template
from django.utils import timezone
from django.utils.timesince import timesince

register = template.Library()

_HL7_MESSAGE = re.compile(r"HL7 MSH-10 (.+?)(?:, replay \d+)?\Z")


@register.filter
def person(name: str) -> str:
    """A DICOM PN value (PS3.5 6.2) such as ``Winter^Anna^^Dr`` as ``Dr Anna Winter``."""
    family, given, middle, prefix, suffix = (name.split("=")[0].split("^") + [""] * 5)[:5]
    return " ".join(part for part in (prefix, given, middle, family, suffix) if part)


@register.filter
def control_id(source_message: str) -> str:
    """The MSH-10 in a WorkflowEvent's ``source_message`` such as ``HL7 MSH-10 4711, replay 12``; empty in others."""
    found = _HL7_MESSAGE.match(source_message)
    return found.group(1) if found else ""


@register.filter
def age(birth_date: date) -> str:
    """Completed years; months below two years."""
    today = timezone.localdate()
    months = (today.year - birth_date.year) * 12 + today.month - birth_date.month - (today.day < birth_date.day)
    return f"{months // 12} y" if months >= 24 else f"{max(months, 0)} mo"


@register.filter
def ago(moment: datetime | None) -> str:
    """How long ago, in words and one unit: ``just now``, ``5 minutes ago``, ``never`` without a moment."""
    if moment is None:
        return "never"
    now = timezone.now()
    return "just now" if (now - moment).total_seconds() < 60 else f"{timesince(moment, now, depth=1)} ago"
