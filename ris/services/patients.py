"""Admissions: register, update and merge patients."""

from typing import Any

from django.db import IntegrityError, transaction

from ris.errors import IncompleteRequest, MergeNotPossible
from ris.inputs import Actor, Identifier, PatientIdentity, VisitInfo
from ris.models import Order, Patient, PatientIdentifier, Visit
from ris.services import events

_DEMOGRAPHICS = ("patient_name", "patient_sex", "patient_address", "telephone", "patient_comments")


@transaction.atomic
def register(identity: PatientIdentity, actor: Actor, visit: VisitInfo = VisitInfo()) -> Patient:  # noqa: B008 - frozen
    """The patient of this identity, created or brought up to date, with the visit if one is named.

    What the identity does not say is left as it is. IncompleteRequest without an identifier.
    """
    patient, created = find_or_create(identity)
    changed = update_demographics(patient, identity)
    admit(patient, visit)
    if created or changed:
        events.record("register" if created else "update", actor, patient=patient)
    return patient


def find_or_create(identity: PatientIdentity) -> tuple[Patient, bool]:
    """The locked patient whom the identifier names (the survivor, after a merge), and whether it was created."""
    if not identity.identifier:
        raise IncompleteRequest("patient_id", "The patient has no identifier")
    if found := find(identity.identifier, lock=True):
        return found, False
    try:
        with transaction.atomic():
            return _create(identity), True
    except IntegrityError:  # another caller created the same patient in this instant
        found = find(identity.identifier, lock=True)
        if found is None:
            raise
        return found, False


def find(identifier: Identifier, lock: bool = False) -> Patient | None:
    """The patient whom ``identifier`` names now, or None."""
    patients = Patient.objects.select_for_update(of=("self",), no_key=True) if lock else Patient.objects
    patient = patients.filter(identifiers__value=identifier.value, identifiers__issuer=identifier.issuer).first()
    while patient is not None and patient.merged_into_id is not None:  # merged while we waited for the lock
        patient = patients.get(pk=patient.merged_into_id)
    return patient


def _create(identity: PatientIdentity) -> Patient:
    identifier = identity.identifier
    patient = Patient.objects.create(patient_id=identifier.value, issuer_of_patient_id=identifier.issuer)
    PatientIdentifier.objects.create(patient=patient, value=identifier.value, issuer=identifier.issuer)
    return patient


def update_demographics(patient: Patient, identity: PatientIdentity) -> bool:
    """Take over what the identity says (None leaves, "" clears); whether anything changed."""
    said: dict[str, Any] = {name: getattr(identity, name) for name in _DEMOGRAPHICS}
    changes = {name: value for name, value in said.items() if value is not None and value != getattr(patient, name)}
    if identity.patient_birth_date is not None:
        birth_date = identity.patient_birth_date or None
        if birth_date != patient.patient_birth_date:
            changes["patient_birth_date"] = birth_date
    for name, value in changes.items():
        setattr(patient, name, value)
    if changes:
        patient.save()
    return bool(changes) | _remember(patient, identity.other_ids)


def _remember(patient: Patient, identifiers: tuple[Identifier, ...]) -> bool:
    """Keep further identifiers; one that names another patient already stays with that patient."""
    new = False
    for identifier in identifiers:
        _row, created = PatientIdentifier.objects.get_or_create(
            value=identifier.value, issuer=identifier.issuer, defaults={"patient": patient}
        )
        new |= created
    return new


def admit(patient: Patient, info: VisitInfo) -> Visit | None:
    """The visit that ``info`` names, created or brought up to date; None if it names none."""
    if not info.admission_id:
        return None
    said = {
        name: value
        for name in ("current_patient_location", "patient_class", "referring_physician")
        if (value := getattr(info, name)) is not None
    }
    visit, _created = Visit.objects.update_or_create(
        patient=patient,
        admission_id=info.admission_id.value,
        issuer_of_admission_id=info.admission_id.issuer,
        defaults=said,
    )
    return visit


@transaction.atomic
def merge(survivor: PatientIdentity, retired: Identifier, actor: Actor) -> Patient:
    """Make ``retired`` a name of the survivor: orders, visits and identifiers move, and late messages follow.

    A repeat changes nothing. MergeNotPossible if both are one identifier; IncompleteRequest if one is missing.
    Locks patients, then orders, each in the order of their keys.
    """
    if not retired:
        raise IncompleteRequest("retired patient_id", "The patient to merge has no identifier")
    if survivor.identifier == retired:
        raise MergeNotPossible("The surviving and the retired patient identifier are the same")
    known = {found.pk for identifier in (survivor.identifier, retired) if (found := find(identifier))}
    list(Patient.objects.select_for_update(no_key=True).filter(pk__in=known).order_by("pk"))
    patient, _created = find_or_create(survivor)
    update_demographics(patient, survivor)
    old = find(retired, lock=True)
    if old is None:
        PatientIdentifier.objects.create(patient=patient, value=retired.value, issuer=retired.issuer)
        events.record("merge", actor, patient=patient, reason="the retired identifier was not known before")
    elif old.pk != patient.pk:
        _absorb(patient, old, actor)
    return patient


def _absorb(patient: Patient, old: Patient, actor: Actor) -> None:
    orders = list(Order.objects.select_for_update(no_key=True).filter(patient=old).order_by("pk"))
    for visit in Visit.objects.filter(patient=old):
        _move_visit(visit, patient)
    PatientIdentifier.objects.filter(patient=old).update(patient=patient)
    old.merged_into = patient
    old.save(update_fields=["merged_into"])
    events.record("merge", actor, patient=patient, reason=f"{len(orders)} orders moved")
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
        visit.orders.update(visit=same)
        visit.delete()
