"""The synthetic messages of fixtures/hl7, each with oddities met in the wild: what each is answered and does."""

from pathlib import Path

import pytest

from hl7.er7 import Message
from hl7.models import InboundMessage
from ris import selectors
from tests.hl7.conftest import answer_to

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "hl7"

#: file -> MSA-1, the steps that it adds to worklists, words of the answer
EXPECTED = {
    "orm_nw.hl7": ("AA", 1, ""),
    "orm_xo.hl7": ("AA", 1, "taken as a new order"),
    "orm_ca_without_pid.hl7": ("AA", 0, "it will be canceled when it comes"),
    "omi_two_steps.hl7": ("AA", 2, ""),
    "omi_minimal_utf8.hl7": ("AA", 0, "no start time"),
    "orm_lf_indented.hl7": ("AA", 1, ""),
    "orm_crlf_short_msh2.hl7": ("AA", 1, ""),
    "orm_v22_names_in_subcomponents.hl7": ("AA", 1, ""),
    "orm_cp1250.hl7": ("AA", 0, "no modality"),
    "orm_two_orders.hl7": ("AA", 1, "RE is a reply"),
    "orm_two_obr_one_orc.hl7": ("AA", 2, ""),
    "orm_date_that_is_none.hl7": ("AE", 0, "TQ1-7"),
    "orm_without_patient.hl7": ("AE", 0, "PID-3"),
    "orm_private_control_code.hl7": ("AE", 0, "ORC-1"),
    "orm_without_control_id.hl7": ("AA", 1, ""),
    "adt_a08_bad_escape_z.hl7": ("AA", 0, "PID-7"),
    "adt_a40.hl7": ("AA", 0, ""),
    "adt_a02_iso2022jp.hl7": ("AA", 0, ""),
    "adt_a47.hl7": ("AA", 0, ""),
    "siu_s12.hl7": ("AA", 1, "taken as order"),
    "siu_s12_other_department.hl7": ("AA", 0, "Not of imaging"),
    "siu_s12_without_sch.hl7": ("AE", 0, "SCH"),
    "oru_r01_final.hl7": ("AE", 0, "FXP404"),
    "orm_hd_unknown.hl7": ("AE", 0, "FXP405"),
    "orm_rp_ro.hl7": ("AA", 1, "it will be canceled when it comes"),
    "orm_orc_repeated.hl7": ("AA", 2, ""),
    "orm_two_patients.hl7": ("AA", 2, ""),
    "orm_pa_ch.hl7": ("AA", 2, ""),
    "orm_without_event.hl7": ("AA", 1, ""),
    "orm_version_2_9.hl7": ("AA", 1, "2.8.2 is meant"),
    "siu_s12_two_services.hl7": ("AA", 2, "taken as order"),
    "siu_s15_first.hl7": ("AA", 0, "not be booked"),
    "oru_two_patients.hl7": ("AE", 0, "FXP709"),
}


def test_every_fixture_has_its_expectation():
    """None is forgotten."""
    assert {file.name for file in FOLDER.glob("*.hl7")} == set(EXPECTED)


@pytest.mark.django_db
@pytest.mark.parametrize("name", EXPECTED)
def test_a_fixture_is_answered_and_does_what_it_says(feed, name):
    """Through the whole way of a message."""
    code, steps, words = EXPECTED[name]
    raw = (FOLDER / name).read_bytes()
    answer = answer_to(raw)
    assert answer.value("MSA-1") == code, str(answer)
    assert words in InboundMessage.objects.get().reason
    assert selectors.worklist_steps().count() == steps
    assert answer.value("MSA-2") == Message.parse(raw).value("MSH-10")
