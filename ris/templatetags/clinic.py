"""How values of the standard are read by people."""

from datetime import date

from django import template
from django.utils import timezone

register = template.Library()


@register.filter
def person(name: str) -> str:
    """A DICOM PN value (PS3.5 6.2) such as ``Winter^Anna^^Dr`` as ``Dr Anna Winter``."""
    family, given, middle, prefix, suffix = (name.split("=")[0].split("^") + [""] * 5)[:5]
    return " ".join(part for part in (prefix, given, middle, family, suffix) if part)


@register.filter
def age(birth_date: date) -> str:
    """Completed years; months below two years."""
    today = timezone.localdate()
    months = (today.year - birth_date.year) * 12 + today.month - birth_date.month - (today.day < birth_date.day)
    return f"{months // 12} y" if months >= 24 else f"{max(months, 0)} mo"
