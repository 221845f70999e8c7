"""What a message would do: carried out as the listener would, in a transaction that is always rolled back."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import InterfaceError, OperationalError, models, transaction

from hl7 import ack, receive
from hl7.ack import Verdict
from hl7.header import Header
from hl7.models import Feed, InboundMessage
from hl7.receive import Arrival
from ris.errors import Refusal
from ris.inputs import Identifier
from ris.models import Order, Patient, RequestedProcedure, ScheduledProcedureStep
from ris.services.patients import DEMOGRAPHICS

Outcome = InboundMessage.Outcome

#: Columns that say nothing of the order: keys, times of the row, what is shown otherwise.
_UNSHOWN = frozenset({"id", "position", "provenance", "said_at", "name_key", "created_at", "updated_at"})
_UNREADABLE = Verdict("", "There is no MSH segment that can be read: nothing would be answered")


@dataclass(frozen=True)
class Value:
    """One attribute: what it is, what it would be, and the field that the message says it in (empty: not there)."""

    before: Any
    after: Any
    source: str = ""

    @property
    def is_changed(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True)
class Touched:
    """A row that the message speaks of. ``kind`` is patient, order, exam or step."""

    kind: str
    name: str
    is_new: bool
    values: dict[str, Value]

    @property
    def changes(self) -> dict[str, Value]:
        return {attribute: value for attribute, value in self.values.items() if value.is_changed}


@dataclass(frozen=True)
class Preview:
    """``answer`` as it would be sent, empty for none; ``reading`` is what was looked up in the message."""

    answer: bytes
    outcome: str
    verdict: Verdict
    touched: tuple[Touched, ...] = ()
    arrival: Arrival | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.verdict.warnings


@dataclass
class _Shot:
    """A row's values at one moment, with the fields that this message filled."""

    kind: str
    name: str
    values: dict[str, Any]
    sources: dict[str, str] = field(default_factory=dict)


_Key = tuple[type[models.Model], int]


def preview(raw: bytes, feed: Feed, peer: str = "127.0.0.1") -> Preview:
    """What ``raw`` would be answered and do if ``feed`` received it now. Nothing is kept, not even the message.

    A repeated message is carried out again here, as a replay of it would be. Every input has a preview;
    OperationalError or InterfaceError only when the database cannot be reached.
    """
    header = Header.find(raw)
    if header is None:
        return Preview(b"", Outcome.UNREADABLE, _UNREADABLE)
    arrival = Arrival(raw, peer, header, feed)
    with transaction.atomic():
        kept, verdict, after = _try(arrival)
        before = _before(after)
        transaction.set_rollback(True)
    return Preview(bytes(kept.answer), kept.outcome, verdict, _compared(before, after), arrival)


def _try(arrival: Arrival) -> tuple[InboundMessage, Verdict, dict[_Key, _Shot]]:
    """Carry it out, look at what there is then, and undo it."""
    kept, after = arrival.row(Outcome.RECEIVED), {}
    try:
        receive.read(arrival)
        with transaction.atomic():
            kept.save(force_insert=True)
            verdict = receive.answer(arrival, kept)
            after = {key: shot for key, shot in _touched(arrival, kept)}
            raise _Undone
    except _Undone:
        return kept, verdict, after
    except Refusal as refused:
        verdict, kept.outcome = ack.refusal(refused), Outcome.REFUSED
    except (OperationalError, InterfaceError):
        raise
    except Exception:  # noqa: BLE001 - the listener, too, answers whatever goes wrong in it
        verdict, kept.outcome = ack.INTERNAL_ERROR, Outcome.ERROR
    kept.answer = ack.build(arrival.header, verdict, arrival.codec, arrival.codes)
    return kept, verdict, {}


class _Undone(Exception):
    """Rolls the trial back."""


def _touched(arrival: Arrival, kept: InboundMessage) -> Iterator[tuple[_Key, _Shot]]:
    source = f"HL7 MSH-10 {arrival.text(10)}"
    orders = list(kept.orders.select_related("patient"))
    for patient in _patients(kept, orders):
        yield (Patient, patient.pk), replace(_shot(patient, source), sources=_said_of(patient, arrival))
    for order in orders:
        yield (Order, order.pk), _shot(order, source)
        for procedure in order.procedures.all():
            yield (RequestedProcedure, procedure.pk), _shot(procedure, source)
            for step in procedure.steps.all():
                yield (ScheduledProcedureStep, step.pk), _shot(step, source)


def _said_of(patient: Patient, arrival: Arrival) -> dict[str, str]:
    """The fields that say what a patient is now: a patient's row keeps no provenance."""
    found: dict[str, str] = {}
    for each in arrival.reading.log if arrival.reading and patient.merged_into_id is None else ():
        value = "\n".join(each.value) if each.attribute == "patient_comments" else each.value
        if each.attribute in DEMOGRAPHICS and getattr(patient, each.attribute) == value:
            found[each.attribute] = each.source
        elif each.attribute == "patient_identifier" and value == Identifier(
            patient.patient_id, patient.issuer_of_patient_id
        ):
            found |= dict.fromkeys(("patient_id", "issuer_of_patient_id"), each.source)
    return found


def _patients(kept: InboundMessage, orders: list[Order]) -> list[Patient]:
    """Whom the message and its orders are about, and who was merged into them."""
    found = {order.patient_id: order.patient for order in orders}
    if kept.patient:
        found.setdefault(kept.patient.pk, kept.patient)
    found |= {retired.pk: retired for retired in Patient.objects.filter(merged_into__in=found)}
    return list(found.values())


def _before(after: dict[_Key, _Shot]) -> dict[_Key, _Shot]:
    """The same rows as they are; those that the message would create are not there."""
    rows = {key: key[0]._default_manager.filter(pk=key[1]).first() for key in after}
    return {key: _shot(row, "") for key, row in rows.items() if row is not None}


def _shot(row: models.Model, source: str) -> _Shot:
    values = {
        column.name: getattr(row, column.attname)
        for column in row._meta.concrete_fields
        if column.name not in _UNSHOWN and not (column.is_relation and column.name not in _RELATED)
    }
    values |= {name: read(row) for name, read in _RELATED.items() if name in values}
    if isinstance(row, ScheduledProcedureStep):
        values["stations"] = [station.ae_title for station in row.stations.all()]
    found = getattr(row, "provenance", {})
    sources = {name: place for name, (place, message) in found.items() if source and message == source}
    return _Shot(_KINDS[type(row)], _NAMES[type(row)](row), values, sources)


_RELATED = {
    "patient": lambda row: row.patient.patient_id,
    "merged_into": lambda row: row.merged_into and row.merged_into.patient_id,
    "visit": lambda row: row.visit and row.visit.admission_id,
    "room": lambda row: row.room and row.room.name,
}
_KINDS = {Patient: "patient", Order: "order", RequestedProcedure: "exam", ScheduledProcedureStep: "step"}
_NAMES = {
    Patient: lambda row: row.patient_id,
    Order: lambda row: row.accession_number,
    RequestedProcedure: lambda row: row.requested_procedure_id,
    ScheduledProcedureStep: lambda row: row.scheduled_procedure_step_id,
}


def _compared(before: dict[_Key, _Shot], after: dict[_Key, _Shot]) -> tuple[Touched, ...]:
    return tuple(_difference(before.get(key), shot) for key, shot in after.items())


def _difference(before: _Shot | None, after: _Shot) -> Touched:
    old = before.values if before else {}
    values = {name: Value(old.get(name), value, after.sources.get(name, "")) for name, value in after.values.items()}
    return Touched(after.kind, after.name, before is None, values)
