"""Where a fact stands in a message: a feed's mapping as data.

A preset names for each attribute the places where it is found, best first (``standards/hl7.md`` 2.1 and 2.4), and how a
text there is read. ``Reading`` looks them up and gathers what the sender should be told.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from django.conf import settings

from hl7 import datatypes
from hl7.ack import FieldRefused
from hl7.models import Feed


@dataclass(frozen=True)
class Source:
    """One place. With ``refuse`` a text that cannot be used refuses the message, else it is told and passed over."""

    path: str
    read: Callable[[str], Any] = datatypes.line
    refuse: bool = False


Preset = Mapping[str, tuple[Source, ...]]


def _texts(*paths: str) -> tuple[Source, ...]:
    return tuple(Source(path) for path in paths)


def _each(read: Callable[[str], Any], *paths: str, refuse: bool = False) -> tuple[Source, ...]:
    return tuple(Source(path, read, refuse) for path in paths)


LENIENT: Preset = {
    # the order
    "accession_number": _each(datatypes.accession_number, "IPC-1.1", "OBR-18.1", "OBR-18.2"),
    "priority": _each(datatypes.priority, "TQ1-9.1", "ORC-7.6", "OBR-27.6", "OBR-5.1"),
    "clinical_information": _each(datatypes.lines, "OBR-13"),
    "patient_state": _texts("OBR-12.2", "OBR-12.1"),
    "transport_arrangements": _texts("OBR-30.2", "OBR-30.1"),
    "confidentiality": _texts("PV1-16.1"),
    "pregnancy_status": _each(datatypes.pregnancy, "PV1-15.1"),
    # the requested procedure
    "requested_procedure_id": _each(datatypes.short_string, "IPC-2.1", "OBR-19.1"),
    "study_instance_uid": (
        *_each(datatypes.uid, "IPC-3.1", "ZDS-1.1", refuse=True),
        Source("OBR-21.1", datatypes.uid_if_any),
    ),
    "procedure_description": _texts("OBR-4.2", "OBR-4.5", "OBR-44.2", "OBR-4.1"),
    "reason": _texts("OBR-31.2", "OBR-31.1", "DG1-4", "DG1-3.2", "DG1-3.1"),
    # the scheduled procedure step
    "scheduled_procedure_step_id": _each(datatypes.short_string, "IPC-4.1", "OBR-20.1"),
    "modality": (
        *_each(datatypes.modality, "IPC-5.1", "OBR-24.1", "OBR-4.3", "OBR-18.1"),
        Source("OBR-4.1", datatypes.modality_prefix),
    ),
    "start": (
        *_each(datatypes.moment, "TQ1-7.1", "ORC-7.4", refuse=True),
        Source("ORC-7.1", datatypes.bare_moment),
        Source("OBR-27.4", datatypes.moment, refuse=True),
        Source("OBR-27.1", datatypes.bare_moment),
        *_each(datatypes.moment, "OBR-36.1", "OBR-6.1", "OBR-7.1", refuse=True),
    ),
    "step_description": _texts("IPC-6.2", "OBR-4.5", "OBR-4.2", "OBR-44.2", "OBR-4.1"),
    "station_name": _each(datatypes.label, "IPC-7.1"),
    "location": _each(datatypes.label, "IPC-8.1"),
    # a cancellation
    "cancel_reason": _texts("ORC-16.2", "ORC-16.1"),
}
PRESETS: dict[str, Preset] = {Feed.Mapping.LENIENT: LENIENT}


class Readable(Protocol):
    """A message, or the segments of it that speak of one thing."""

    def value(self, path: str) -> str | None: ...

    def location(self, path: str) -> str: ...


@dataclass
class Reading:
    """One message read by a feed's mapping. ``warnings`` are sentences for the sender; no patient data in them."""

    feed: Feed
    sender: str
    warnings: list[str] = field(default_factory=list)

    def warn(self, sentence: str) -> None:
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    def warn_first(self, sentence: str) -> None:
        """A warning of more weight than those before it: MSA-3 may have no room for all."""
        if sentence not in self.warnings:
            self.warnings.insert(0, sentence)

    def find(self, scope: Readable, attribute: str) -> Any:
        """The first usable value of an attribute: None if nothing is said, "" if only the explicit null is."""
        said = None
        for source in PRESETS[self.feed.mapping][attribute]:
            text = scope.value(source.path)
            if not text:
                said = text if said is None else said
                continue
            value = self._read(scope, source, text)
            if value is not None:
                return value
        return said

    def _read(self, scope: Readable, source: Source, text: str) -> Any:
        try:
            return source.read(text)
        except ValueError as error:
            sentence = f"{source.path} {error}"
            if source.refuse:
                raise FieldRefused("102", scope.location(source.path), sentence) from error
            self.warn(f"{sentence}: not used")
            return None

    def text(self, scope: Readable, attribute: str, length: int, what: str) -> str | None:
        """A text of an attribute that fits its column; what is cut is told by the name ``what``."""
        return self.cut(self.find(scope, attribute), length, what)

    def cut(self, text: str | None, length: int, what: str) -> str | None:
        if text is None or len(text) <= length:
            return text
        self.warn(f"{what} was cut to {length} characters")
        return text[:length].rstrip()

    def start(self, scope: Readable) -> datetime | None:
        """When the step shall begin, aware: a zone offset is honoured, else it is the site's time."""
        at = self.find(scope, "start")
        if not at:
            return None
        return at if at.tzinfo else at.replace(tzinfo=ZoneInfo(settings.TIME_ZONE))
