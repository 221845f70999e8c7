"""Admissions: register, update and merge patients."""

from collections.abc import Hashable
from typing import Any

from django.db import IntegrityError, transaction

from ris.errors import IdentifierTaken, IncompleteRequest, MergeNotPossible
from ris.inputs import Actor, Identifier, PatientIdentity, VisitInfo
from ris.models import Order, Patient, PatientIdentifier, Visit, name_key
from ris.services import events, precedence, rows

DEMOGRAPHICS = (
    "patient_name",
    "patient_birth_date",
    "patient_sex",
    "patient_address",
    "telephone",
    "patient_comments",
)
#: Under this name a patient keeps when a merge last said by which identifier it is shown.
_NUMBER = "patient_id"
_VISIT = ("current_patient_location", "patient_class", "referring_physician", "status")


@transaction.atomic
def register(identity: PatientIdentity, actor: Actor, visit: VisitInfo = VisitInfo()) -> Patient:  # noqa: B008 - frozen
    """The patient of this identity, created or brought up to date, with the visit if one is named.

    What the identity does not say is left as it is. IncompleteRequest without an identifier.
    """
    patient, created = find_or_create(identity, actor)
    changed = update_demographics(patient, identity, actor)
    admit(patient, visit, actor)
    if created or changed:
        events.record("register" if created else "update", actor, patient=patient)
    return patient


def find_or_create(identity: PatientIdentity, actor: Actor) -> tuple[Patient, bool]:
    """The locked patient whom the identifier names (the survivor, after a merge), and whether it was created."""
    if not identity.identifier:
        raise IncompleteRequest("patient_id", "The patient has no identifier")
    if found := find(identity.identifier, lock=True):
        return found, False
    try:
        with transaction.atomic():
            return _create(identity, actor), True
    except IntegrityError:  # another caller created the same patient in this instant
        found = find(identity.identifier, lock=True)
        if found is None:
            raise
        return found, False


def find(identifier: Identifier, lock: bool = False) -> Patient | None:
    """The patient whom ``identifier`` names now, or None."""
    return rows.once(key(identifier), lambda: _find(identifier, lock))


def key(identifier: Identifier) -> Hashable:
    """What ``find`` remembers a patient by while orders are placed together."""
    return Patient, identifier


def _find(identifier: Identifier, lock: bool) -> Patient | None:
    patients = Patient.objects.select_for_update(of=("self",), no_key=True) if lock else Patient.objects
    patient = patients.filter(identifiers__value=identifier.value, identifiers__issuer=identifier.issuer).first()
    while patient is not None and patient.merged_into_id is not None:  # merged while we waited for the lock
        patient = patients.get(pk=patient.merged_into_id)
    return patient


def is_named_by(patient_pk: int, named: Identifier | None) -> bool:
    """Whether a scanner's identifier is one of the patient's, also one merged away. Who names nobody, or no issuer, is
    not held against it."""
    if not named:
        return True
    own = PatientIdentifier.objects.filter(patient=patient_pk, value=named.value)
    return (own.filter(issuer__in=[named.issuer, ""]) if named.issuer else own).exists()


def _create(identity: PatientIdentity, actor: Actor) -> Patient:
    identifier = identity.identifier
    patient = Patient(patient_id=identifier.value, issuer_of_patient_id=identifier.issuer)
    _take_over(patient, identity, precedence.stamp(actor))
    rows.save(patient)
    rows.save(PatientIdentifier(patient=patient, value=identifier.value, issuer=identifier.issuer))
    rows.note(key(identifier), patient)
    return patient


def update_demographics(patient: Patient, identity: PatientIdentity, actor: Actor) -> bool:
    """Take over and save what the identity says (None leaves, "" clears); whether anything changed."""
    taken = _take_over(patient, identity, precedence.stamp(actor, retired=_names_retired(patient, identity)))
    if taken.is_news:
        rows.save(patient)
    return bool(taken.changed) | _remember(patient, identity.other_ids)


def _take_over(patient: Patient, identity: PatientIdentity, mark: str) -> precedence.Taken:
    said = {name: getattr(identity, name) for name in DEMOGRAPHICS}
    taken = precedence.take(patient, precedence.spoken(Patient, said), mark)
    patient.name_key = name_key(patient.patient_name)
    return taken


def _names_retired(patient: Patient, identity: PatientIdentity) -> bool:
    """Whether the identity is by an identifier that was merged away."""
    named = identity.identifier
    if named == Identifier(patient.patient_id, patient.issuer_of_patient_id):
        return False
    return PatientIdentifier.objects.filter(value=named.value, issuer=named.issuer, is_retired=True).exists()


def _remember(patient: Patient, identifiers: tuple[Identifier, ...]) -> bool:
    """Keep further identifiers; one that names another patient already stays with that patient."""
    new = False
    for identifier in identifiers:
        if rows.is_gathering():
            created = find(identifier) is None
            if created:
                rows.save(PatientIdentifier(patient=patient, value=identifier.value, issuer=identifier.issuer))
                rows.note(key(identifier), patient)
        else:
            _row, created = PatientIdentifier.objects.get_or_create(
                value=identifier.value, issuer=identifier.issuer, defaults={"patient": patient}
            )
        new |= created
    return new


def admit(patient: Patient, info: VisitInfo, actor: Actor) -> Visit | None:
    """The visit that ``info`` names, created or brought up to date; None if it names none."""
    if not info.admission_id:
        return None
    said = precedence.spoken(Visit, {name: getattr(info, name) for name in _VISIT})
    mark = precedence.stamp(actor)
    names = {
        "patient": patient,
        "admission_id": info.admission_id.value,
        "issuer_of_admission_id": info.admission_id.issuer,
    }
    values = {**said, "said_at": dict.fromkeys(said, mark)}
    visit, created = _visit(names, values)
    if not created and precedence.take(visit, said, mark).is_news:
        rows.save(visit)
    return visit


def _visit(names: dict[str, Any], values: dict[str, Any]) -> tuple[Visit, bool]:
    if not rows.is_gathering():
        return Visit.objects.get_or_create(**names, defaults=values)
    asked = (Visit, *names.values())
    patient_is_new = rows.is_new(names["patient"])
    found = rows.once(asked, lambda: None if patient_is_new else Visit.objects.filter(**names).first())
    visit = found or rows.save(Visit(**names, **values))
    rows.note(asked, visit)
    return visit, found is None


@transaction.atomic
def change_identifier(identity: PatientIdentity, old: Identifier, actor: Actor) -> Patient:
    """Make the identity's identifier the one that the patient of ``old`` is shown by (ADT A47); ``old`` still finds it.

    A repeat changes nothing; an ``old`` that is not here is remembered for messages that come late. IdentifierTaken if
    the new identifier names another patient: that would be a merge.
    """
    if not old:
        raise IncompleteRequest("retired patient_id", "The identifier to change is missing")
    patient, holder = find(old, lock=True), find(identity.identifier)
    if patient is not None and holder is not None and holder.pk != patient.pk:
        raise IdentifierTaken("The new patient identifier names another patient already: if they are one, merge them")
    if patient is None:
        patient, _created = find_or_create(identity, actor)
        name = PatientIdentifier.objects.create(patient=patient, value=old.value, issuer=old.issuer)
        reason = "the old identifier was not known before"
        events.record("change identifier", actor, patient=patient, retired_identifier=name, reason=reason)
    elif holder is None:
        _rename(patient, identity.identifier, old, actor)
    update_demographics(patient, identity, actor)
    return patient


def _rename(patient: Patient, identifier: Identifier, old: Identifier, actor: Actor) -> None:
    PatientIdentifier.objects.create(patient=patient, value=identifier.value, issuer=identifier.issuer)
    patient.patient_id, patient.issuer_of_patient_id = identifier.value, identifier.issuer
    patient.save(update_fields=["patient_id", "issuer_of_patient_id"])
    name = PatientIdentifier.objects.get(value=old.value, issuer=old.issuer)
    events.record("change identifier", actor, patient=patient, retired_identifier=name)


@transaction.atomic
def merge(survivor: PatientIdentity, retired: Identifier, actor: Actor) -> Patient:
    """Make ``retired`` a name of the survivor: orders, visits and identifiers move, and late messages follow.

    A repeat changes nothing; the inverse of an earlier merge turns that round. MergeNotPossible if both are one
    identifier; IncompleteRequest if one is missing.
    Locks patients, then orders, each in the order of their keys.
    """
    if not retired:
        raise IncompleteRequest("retired patient_id", "The patient to merge has no identifier")
    if survivor.identifier == retired:
        raise MergeNotPossible("The surviving and the retired patient identifier are the same")
    known = {found.pk for identifier in (survivor.identifier, retired) if (found := find(identifier))}
    list(Patient.objects.select_for_update(no_key=True).filter(pk__in=known).order_by("pk"))
    patient, _created = find_or_create(survivor, actor)
    old = find(retired, lock=True)
    if old is not None and old.pk == patient.pk:
        _turn_round(patient, survivor.identifier, retired, actor)
    update_demographics(patient, survivor, actor)
    if old is None:
        name = PatientIdentifier.objects.create(
            patient=patient, value=retired.value, issuer=retired.issuer, is_retired=True
        )
        reason = "the retired identifier was not known before"
        events.record("merge", actor, patient=patient, retired_identifier=name, reason=reason)
    elif old.pk != patient.pk:
        name = PatientIdentifier.objects.get(value=retired.value, issuer=retired.issuer)
        _absorb(patient, old, name, actor)
    return patient


def _turn_round(patient: Patient, identifier: Identifier, retired: Identifier, actor: Actor) -> None:
    """Both name this patient. If it is shown by the ``retired`` one, its number is from now on the other: so a merge of
    the wrong direction is put right. Not by a message that is older than that merge."""
    mark = precedence.stamp(actor)
    if retired != Identifier(patient.patient_id, patient.issuer_of_patient_id):
        return
    if not precedence.prevails(patient, _NUMBER, mark):
        return
    names = PatientIdentifier.objects.filter(patient=patient)
    names.filter(value=identifier.value, issuer=identifier.issuer).update(is_retired=False)
    name = names.get(value=retired.value, issuer=retired.issuer)
    name.is_retired = True
    name.save(update_fields=["is_retired"])
    patient.patient_id, patient.issuer_of_patient_id = identifier.value, identifier.issuer
    patient.said_at = patient.said_at | {_NUMBER: mark}
    patient.save()
    events.record("merge", actor, patient=patient, retired_identifier=name, reason="the patient had both identifiers")


def _absorb(patient: Patient, old: Patient, name: PatientIdentifier, actor: Actor) -> None:
    orders = list(Order.objects.select_for_update(no_key=True).filter(patient=old).order_by("pk"))
    for visit in Visit.objects.filter(patient=old):
        _move_visit(visit, patient)
    PatientIdentifier.objects.filter(patient=old).update(patient=patient, is_retired=True)
    precedence.absorb(patient, old, DEMOGRAPHICS, retired=True)
    patient.said_at = patient.said_at | {_NUMBER: max(patient.said_at.get(_NUMBER, ""), precedence.stamp(actor))}
    patient.save()
    old.merged_into = patient
    old.save(update_fields=["merged_into"])
    events.record("merge", actor, patient=patient, retired_identifier=name, reason=f"{len(orders)} orders moved")
    for order in orders:
        order.patient = patient
        order.save(update_fields=["patient"])
        events.record("merge", actor, order=order)


def _move_visit(visit: Visit, patient: Patient) -> None:
    same = Visit.objects.filter(
        patient=patient, admission_id=visit.admission_id, issuer_of_admission_id=visit.issuer_of_admission_id
    ).first()
    if same is None:
        visit.patient = patient
        visit.save(update_fields=["patient"])
    else:
        precedence.absorb(same, visit, _VISIT, retired=False)
        same.save()
        visit.orders.update(visit=same)
        visit.delete()
