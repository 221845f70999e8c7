"""The search box. Covered: accession number, patient ID, parts of the name, nothing found, no name in an address."""

import pytest

from ris.inputs import Identifier, PatientIdentity
from tests import making


def found(client, text) -> list[str]:
    answer = client.post("/search/", {"text": text})
    return [exam.order.patient.patient_name for exam in answer.context["exams"]]


@pytest.fixture
def sean(site):
    identity = PatientIdentity(identifier=Identifier("P200", "SUNVIEW"), patient_name="Ó Súilleabháin^Seán")
    return making.placed("4800", patient=identity)


def test_accession_number_opens_its_exam(molly, step):
    """A whole accession number leads to the exam at once."""
    number = step.requested_procedure.order.accession_number
    assert molly.post("/search/", {"text": f" {number} "})["Location"] == f"/exams/{step.requested_procedure_id}/"


@pytest.mark.parametrize("text", ["P200", "suilleabhain", "sean o sui", "Ó Súilleabháin, Seán", "SEAN"])
def test_patient(molly, step, sean, text):
    """Patient ID, or parts of the name in any order, case and accent."""
    assert found(molly, text) == ["Ó Súilleabháin^Seán"]


@pytest.mark.parametrize("text", ["P20", "nobody", "^", "100%", "hop sean"])
def test_nothing_found(molly, step, sean, text):
    """What nobody has finds nobody, and the page says how to search."""
    assert found(molly, text) == []


def test_names_are_not_searched_by_address(molly, step):
    """A search in the address is not carried out: names do not belong into addresses."""
    answer = molly.get("/search/", {"text": "hopper"})
    assert "Hopper" not in answer.content.decode()


def test_empty_and_overlong(molly):
    """Nothing, or far too much, is no search and no error."""
    for text in ("", " ", "x" * 1000, "a\x00b"):
        assert molly.post("/search/", {"text": text}).status_code == 200
