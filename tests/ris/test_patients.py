"""Patients: registered, updated, merged; what a message leaves empty stays."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ris import errors
from ris.inputs import Identifier, PatientIdentity, VisitInfo
from ris.models import Order, Patient, PatientIdentifier, Visit, WorkflowEvent
from ris.services import orders, patients
from tests import making
from tests.making import GRACE, HIS

pytestmark = pytest.mark.django_db
NEW = Identifier("P900", "SUNVIEW")


def test_register_and_update():
    """A patient is created once; empty leaves, explicit null clears."""
    first = patients.register(GRACE, HIS)
    second = patients.register(replace(GRACE, patient_name=None, patient_sex="", patient_birth_date=""), HIS)
    assert first.pk == second.pk
    assert (second.patient_name, second.patient_sex, second.patient_birth_date) == ("Hopper^Grace", "", None)
    assert list(WorkflowEvent.objects.values_list("verb", flat=True)) == ["register", "update"]


def test_a_repeat_is_no_event():
    """The same ADT again changes nothing and records nothing."""
    for _repeat in range(2):
        patients.register(GRACE, HIS, VisitInfo(admission_id=Identifier("V1"), current_patient_location="WARD 3"))
    assert WorkflowEvent.objects.count() == 1
    assert Visit.objects.get().current_patient_location == "WARD 3"


def test_issuers_keep_patients_apart():
    """The same number of two authorities is two patients."""
    patients.register(GRACE, HIS)
    patients.register(replace(GRACE, identifier=Identifier("P100", "OTHER")), HIS)
    assert Patient.objects.count() == 2


def test_no_identifier():
    """A patient without an identifier is refused."""
    with pytest.raises(errors.IncompleteRequest):
        patients.register(PatientIdentity(identifier=Identifier()), HIS)


def test_name_is_matched_without_case_and_accents():
    """The folded name is kept beside the name, whatever is saved."""
    patient = patients.register(replace(GRACE, patient_name="Núñez^José"), HIS)
    assert patient.name_key == "nunez^jose"


def test_merge_moves_everything():
    """Orders, visits and identifiers move to the survivor; late messages with the old number follow."""
    making.placed(visit=VisitInfo(admission_id=Identifier("V1")))
    survivor = patients.merge(PatientIdentity(identifier=NEW, patient_name="Hopper^Grace"), GRACE.identifier, HIS)
    assert Order.objects.get().patient == survivor
    assert Visit.objects.get().patient == survivor
    assert patients.find(GRACE.identifier) == survivor
    late = orders.place(making.order_request("4712"), HIS)
    assert late.patient == survivor
    assert Patient.objects.count() == 2


def test_merge_repeated():
    """A repeat changes nothing."""
    patients.register(GRACE, HIS)
    patients.merge(PatientIdentity(identifier=NEW), GRACE.identifier, HIS)
    events = WorkflowEvent.objects.count()
    patients.merge(PatientIdentity(identifier=NEW), GRACE.identifier, HIS)
    assert WorkflowEvent.objects.exclude(verb="update").count() == events


def test_merge_turned_round():
    """The inverse merge puts right one of the wrong direction: the same patient, shown by the other number, with what
    its PID says; the repeat of an older link of a chain, or an older merge that comes late, does not."""
    patients.register(GRACE, HIS)
    early, late = (replace(HIS, said_at=datetime(2026, 11, 22, hour, tzinfo=UTC)) for hour in (8, 9))
    survivor = patients.merge(PatientIdentity(identifier=NEW), GRACE.identifier, early)
    turned = patients.merge(replace(GRACE, patient_name="Hopper^Amazing"), NEW, late)
    assert turned == survivor and turned.merged_into is None
    assert (turned.patient_id, turned.patient_name) == (GRACE.identifier.value, "Hopper^Amazing")
    assert [found.value for found in PatientIdentifier.objects.filter(is_retired=True)] == [NEW.value]
    patients.merge(PatientIdentity(identifier=NEW), GRACE.identifier, early)
    assert Patient.objects.get(merged_into=None).patient_id == GRACE.identifier.value
    last = patients.merge(PatientIdentity(identifier=Identifier("P901", "SUNVIEW")), GRACE.identifier, HIS)
    assert patients.merge(GRACE, NEW, HIS) == last and last.patient_id == "P901"


def test_merge_of_an_unknown_number():
    """A retired number that was never seen becomes an alias, so that a late order goes to the survivor."""
    survivor = patients.merge(GRACE, Identifier("OLD", "SUNVIEW"), HIS)
    assert patients.find(Identifier("OLD", "SUNVIEW")) == survivor


def test_merge_chain():
    """A into B, B into C: A's number names C."""
    patients.register(GRACE, HIS)
    patients.merge(PatientIdentity(identifier=NEW), GRACE.identifier, HIS)
    last = patients.merge(PatientIdentity(identifier=Identifier("P901", "SUNVIEW")), NEW, HIS)
    assert patients.find(GRACE.identifier) == last
    assert PatientIdentifier.objects.filter(patient=last).count() == 3


def test_both_have_the_same_visit():
    """A visit that both patients carry becomes one."""
    visit = VisitInfo(admission_id=Identifier("V1"))
    making.placed(visit=visit)
    patients.register(PatientIdentity(identifier=NEW), HIS, visit)
    survivor = patients.merge(PatientIdentity(identifier=NEW), GRACE.identifier, HIS)
    assert Order.objects.get().visit == Visit.objects.get(patient=survivor)


def test_merge_into_itself():
    """The same number on both sides is refused."""
    with pytest.raises(errors.MergeNotPossible):
        patients.merge(GRACE, GRACE.identifier, HIS)
