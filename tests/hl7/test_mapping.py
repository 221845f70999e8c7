"""Where each fact is found: the lenient preset (standards/hl7.md, 2.1 and 2.4).

Covered: each source of each attribute and its order, what is passed over, what is told, what is refused; identifiers,
names, dates, measures. Not covered here: what the services make of it (test_orders).
"""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hl7.ack import FieldRefused
from hl7.attributes import NAMES
from hl7.er7 import Message
from hl7.groups import order_groups
from hl7.identity import patient_identity, visit_info
from hl7.mapping import Reading
from hl7.models import Feed
from hl7.request import order_request
from hl7.rules import preset
from ris.inputs import Code, Identifier, OrderRequest, PatientIdentity, ProcedureRequest, StepRequest
from tests.hl7.conftest import message

PID = "PID|||1^^^ADT||Sample^Grace"


def reading(**feed: str) -> Reading:
    return Reading(Feed(**feed), "HIS|WARD")


def read(*segments: str, by: Reading | None = None) -> OrderRequest:
    by = by or reading()
    parsed = Message.parse(message(PID, *segments))
    identity, visit = patient_identity(parsed, by), visit_info(parsed, by)
    return order_request(order_groups(parsed)[0], identity, visit, by)


def procedure(*segments: str, by: Reading | None = None) -> ProcedureRequest:
    return read("ORC|NW|P1", *segments, by=by).procedures[0]


def step(*segments: str, by: Reading | None = None) -> StepRequest:
    return procedure(*segments, by=by).steps[0]


def identity(pid: str, by: Reading | None = None) -> PatientIdentity:
    return patient_identity(Message.parse(message(pid)), by or reading())


def obr(**fields: str) -> str:
    """An OBR with these fields: ``obr(f18="A1", f24="CT")``."""
    values = {int(name[1:]): text for name, text in fields.items()}
    return "|".join(["OBR", *(values.get(number, "") for number in range(1, max(values, default=1) + 1))])


@pytest.mark.parametrize(
    ("segments", "modality"),
    [
        ((obr(f24="CT"), "IPC|||||MR^Magnetic Resonance^DCM"), "MR"),
        ((obr(f24="CT", f4="X^Y^NM"),), "CT"),
        ((obr(f24="RAD", f4="GENM^GASTRIC EMPTYING^NM"),), "NM"),
        ((obr(f24="RAD", f18="XR"),), "DX"),
        ((obr(f24="ALT", f4="XA.AORTIC^Angiografia"),), "XA"),
        ((obr(f24="CR"),), "CR"),
        ((obr(f24="xr"),), "DX"),
        ((obr(f4="SA.1030^Ultrasound"),), None),
        ((obr(f4="MR-BRAIN^MR Brain"),), "MR"),
        ((obr(f4="XR_CHEST^Chest"),), "DX"),
        ((obr(f4="OP-KNEE^Operation"),), None),
        ((obr(f4="CTABD^CT abdomen"),), None),
        ((obr(f24="CT SCAN", f4="X^Y"),), "CT"),
        ((obr(f24="MRI/NEURO"),), "MR"),
        ((obr(f24="RUS"),), "US"),
        ((obr(f24="NMR"),), "MR"),
        ((obr(f24="NMS"),), "NM"),
        ((obr(f24="RX"),), "DX"),
        ((obr(f24="Mammo"),), "MG"),
        ((obr(f24="USER"),), None),
        ((obr(f24="IOP"),), None),
    ],
)
def test_modality(segments, modality):
    """IPC-5 beats OBR-24, then OBR-4.3, OBR-18 and the code's prefix; departments are none (#030, #031, #038, #044).
    Table 0074 has words of its own."""
    assert step(*segments).modality == modality


@pytest.mark.parametrize(
    ("segments", "number"),
    [
        ((obr(f18="B1"), "IPC|A1^RIS"), "A1"),
        ((obr(f18="B1"),), "B1"),
        ((obr(f18="U-ID2579336"),), "2579336"),
        ((obr(f18="MR^20061213-0007"),), "20061213-0007"),
        ((obr(f18="XR"),), ""),
        ((obr(f18="X" * 17),), ""),
        ((obr(),), ""),
    ],
)
def test_accession_number(segments, number):
    """IPC-1, then OBR-18, without medavis' prefix, not a modality, never cut (#017, #031, #032)."""
    assert read("ORC|NW|P1", *segments).accession_number == number


def test_an_accession_number_that_cannot_be_used_is_told():
    """Ours is made instead, and the sender hears of it."""
    by = reading()
    read("ORC|NW|P1", obr(f18="X" * 17), by=by)
    assert by.warnings[0] == "OBR-18.1 has more than 16 characters or a backslash: not used"


def test_the_accession_numbers_issuer_comes_with_ipc_1():
    """Only where the number itself came from there (#060)."""
    assert read("ORC|NW|P1", obr(), "IPC|A1^SYNTH_RIS").accession_issuer == "SYNTH_RIS"
    assert read("ORC|NW|P1", obr(f18="A1")).accession_issuer == ""


@pytest.mark.parametrize(
    ("segments", "start"),
    [
        (("TQ1|1||||||202611220930", obr(f6="20200101")), datetime(2026, 11, 22, 9, 30, tzinfo=UTC)),
        (("TQ1|1||||||202607220930", obr()), datetime(2026, 7, 22, 8, 30, tzinfo=UTC)),
        (("TQ1|1||||||202609160930-0500", obr()), datetime(2026, 9, 16, 14, 30, tzinfo=UTC)),
        (("TQ1|1||||||2026-11-22T09:30:15Z", obr()), datetime(2026, 11, 22, 9, 30, 15, tzinfo=UTC)),
        ((obr(f27="1^once^^20261122093000^^R"),), datetime(2026, 11, 22, 9, 30, tzinfo=UTC)),
        ((obr(f36="20261122093000"),), datetime(2026, 11, 22, 9, 30, tzinfo=UTC)),
        (("TQ1|1||||||00000000", obr(f27="^^^0", f36="20261122093000")), datetime(2026, 11, 22, 9, 30, tzinfo=UTC)),
        (("TQ1|1||||||00000000000000", obr(f27="^^^0")), None),
        ((obr(f6="20261122093000123"),), datetime(2026, 11, 22, 9, 30, tzinfo=UTC)),
        ((obr(f7="202611220930"),), datetime(2026, 11, 22, 9, 30, tzinfo=UTC)),
        ((obr(f27="20261122093000", f6="20200101"),), datetime(2026, 11, 22, 9, 30, tzinfo=UTC)),
        ((obr(f6="20261122"),), datetime(2026, 11, 22, 0, 0, tzinfo=UTC)),
        ((obr(f27="^^^20261122", f36="202611221430"),), datetime(2026, 11, 22, 14, 30, tzinfo=UTC)),
        ((obr(f27="^^^20261122", f6="202611011430"),), datetime(2026, 11, 22, 0, 0, tzinfo=UTC)),
        ((obr(),), None),
    ],
)
def test_start(segments, start):
    """TQ1-7, ORC-7.4, OBR-27.4, OBR-36, OBR-6, OBR-7, in the site's zone if they name none; never *now*."""
    assert step(*segments).start == start


@pytest.mark.parametrize(
    ("text", "start", "is_told"),
    [
        ("202610250130", datetime(2026, 10, 25, 0, 30, tzinfo=UTC), True),
        ("202610250130+0000", datetime(2026, 10, 25, 1, 30, tzinfo=UTC), False),
        ("202603290130", datetime(2026, 3, 29, 1, 30, tzinfo=UTC), True),
        ("202610250230", datetime(2026, 10, 25, 2, 30, tzinfo=UTC), False),
    ],
)
def test_a_start_in_the_night_in_which_the_clocks_change(text, start, is_told):
    """The first of the two hours, and it is told; with a zone offset there is nothing to guess (row 113)."""
    by = reading()
    assert step(f"TQ1|1||||||{text}", obr(), by=by).start == start
    assert any("clocks change" in warning for warning in by.warnings) == is_told


def test_start_in_orc_7():
    """As TQ.4, or as a bare timestamp in the wrong place (#038); a quantity is no time."""
    assert read("ORC|NW|P1|||||1^^^202611220930", obr()).procedures[0].steps[0].start is not None
    assert read("ORC|NW|P1|||||20261122093000", obr()).procedures[0].steps[0].start is not None
    assert read("ORC|NW|P1|||||1^ONCE", obr()).procedures[0].steps[0].start is None


@pytest.mark.parametrize(
    ("orc", "segments", "location"),
    [
        ("ORC|NW|P1", ("TQ1|1||||||20250230", obr()), "TQ1^1^7"),
        ("ORC|NW|P1|||||^^^tomorrow", (obr(),), "ORC^1^7^1^4"),
        ("ORC|NW|P1", (obr(f27="^^^20251301"),), "OBR^1^27^1^4"),
        ("ORC|NW|P1", (obr(f36="99999999"),), "OBR^1^36"),
        ("ORC|NW|P1", (obr(f6="202611222561"),), "OBR^1^6"),
        ("ORC|NW|P1", (obr(f7="Aug 15, 1942"),), "OBR^1^7"),
        ("ORC|NW|P1", (obr(f6="00010101"),), "OBR^1^6"),
    ],
)
def test_a_start_that_is_no_date_is_refused_by_its_name(orc, segments, location):
    """AE 102 with the field, not a guess."""
    with pytest.raises(FieldRefused) as refused:
        read(orc, *segments)
    assert refused.value.condition == "102" and refused.value.location == location


@pytest.mark.parametrize(
    ("segments", "uid"),
    [
        ((obr(f21="1.2.3.4.5"), "IPC|||1.2.3.9", "ZDS|1.2.3.8"), "1.2.3.9"),
        ((obr(f21="1.2.3.4.5"), "ZDS|1.2.3.8^^Application^DICOM"), "1.2.3.8"),
        ((obr(f21="1.2.826.0.1"),), "1.2.826.0.1"),
        ((obr(f21="MPE4660"),), ""),
        ((obr(), "OBX|1|ST|113014^DICOM Study^DCM||1.2.3.7"), "1.2.3.7"),
        ((obr(),), ""),
    ],
)
def test_study_instance_uid(segments, uid):
    """IPC-3, ZDS-1, OBR-21 if it is one (#047), OBX 113014; else none."""
    assert procedure(*segments).study_instance_uid == uid


@pytest.mark.parametrize(
    ("segment", "location"),
    [("ZDS|1.2.abc", "ZDS^1^1"), ("IPC|||1..2", "IPC^1^3"), ("OBX|1|ST|113014^DICOM Study^DCM||x", "OBX^1^5")],
)
def test_a_uid_that_is_none_is_refused_by_its_field(segment, location):
    """Where a UID must be, anything else is AE 102."""
    with pytest.raises(FieldRefused) as refused:
        procedure(obr(), segment)
    assert (refused.value.condition, refused.value.location) == ("102", location)


def test_a_uid_lost_in_another_segment_is_told():
    """The separator before ZDS got lost (#033): accepted without, and flagged."""
    by = reading()
    assert procedure(obr(f43="^^^^CT1ZDS", f44="1.2.3.4^^Application^DICOM"), by=by).study_instance_uid == ""
    assert "ZDS does not begin a segment" in by.warnings[-1]


def test_an_ipc_before_its_obr_is_read():
    """The order of segments is not every sender's: IPC behind ORC is the next OBR's."""
    found = read("ORC|NW|P1", "IPC|A3|RP3|1.2.3.4|S3|CT", "TQ1|1||||||202611220930", obr(f4="X"))
    assert (found.accession_number, found.procedures[0].study_instance_uid) == ("A3", "1.2.3.4")
    assert found.procedures[0].steps[0].scheduled_procedure_step_id == "S3"


@pytest.mark.parametrize(
    ("field", "name"), [("Dr. Smith", "Dr. Smith"), ("4711", None), ("9^Order^Olaf", "Order^Olaf"), ("", None)]
)
def test_a_physician_without_components(field, name):
    """A name where the identifier belongs has a blank; an identifier alone names nobody."""
    assert read("ORC|NW|P1", obr(f16=field)).requesting_physician == name


def test_medical_alerts_are_one_line():
    """(0010,2000) is an LO; the clinical information keeps its lines."""
    found = read("ORC|NW|P1", obr(f13="pacemaker\\.br\\metal"))
    assert (found.medical_alerts, found.clinical_information) == ("pacemaker metal", "pacemaker\nmetal")


def test_several_ipc_are_several_steps_and_procedures():
    """Steps of one requested procedure, or of several where IPC-2 differs."""
    ipc = ["IPC|A|RP1|1.2.3|S1|CT||||CT1~CT2", "IPC|A|RP1|1.2.3|S2|CT", "IPC|A|RP2|1.2.4|S3|PT"]
    procedures = read("ORC|NW|P1", obr(), *ipc).procedures
    assert [(p.requested_procedure_id, len(p.steps)) for p in procedures] == [("RP1", 2), ("RP2", 1)]
    assert procedures[0].steps[0].station_ae_titles == ("CT1", "CT2")
    assert procedures[1].steps[0].scheduled_procedure_step_id == "S3" and procedures[1].study_instance_uid == "1.2.4"


def test_placeholders_are_passed_over():
    """What a template left behind is no station name (#038)."""
    found = step(
        obr(), "IPC|A|R|1.2.3|setScheduledProcedureStepId|MR|0001|setScheduledStationName|setLocation|NmrEsaote"
    )
    assert (found.scheduled_procedure_step_id, found.station_name, found.location) == ("", None, None)
    assert found.station_ae_titles == ("NmrEsaote",)


@pytest.mark.parametrize(
    ("field", "code", "description"),
    [
        ("XABDP1^CT Abdomen^L", Code("XABDP1", "L", "CT Abdomen"), "CT Abdomen"),
        ("X^Y", Code("X", "L", "Y"), "Y"),
        ("XABDP1^CT Abdomen^XABDP1^CT Abdomen", Code("XABDP1", "L", "CT Abdomen"), "CT Abdomen"),
        ("GENM^GASTRIC EMPTYING^NM", Code("GENM", "L", "GASTRIC EMPTYING"), "GASTRIC EMPTYING"),
        ("^^^^CT PANCREAS", Code("", "", "CT PANCREAS"), "CT PANCREAS"),
        ("Spirometry", Code("Spirometry", "L", ""), "Spirometry"),
        ("^MRI W/&W/O CONTRAST", Code("", "", "MRI W/&W/O CONTRAST"), "MRI W/&W/O CONTRAST"),
    ],
)
def test_procedure_code(field, code, description):
    """OBR-4 with its alternate; a modality is no coding scheme (#017, #027, #029, #066)."""
    found = procedure(obr(f4=field))
    assert (found.code, found.description) == (code, description)


def test_texts_are_cut_to_what_dicom_holds_and_told():
    """64 characters for a description; one warning, not one for each column."""
    by = reading()
    assert len(procedure(obr(f4="X^" + "y" * 90), by=by).description) == 64
    assert by.warnings == ["OBR-4 was cut to 64 characters"]


@pytest.mark.parametrize(
    ("segments", "priority"),
    [
        (("TQ1|1||||||||S^Stat^HL70485", obr(f5="R")), "STAT"),
        ((obr(f27="^^^^^A"),), "HIGH"),
        ((obr(f5="R"),), "ROUTINE"),
        ((obr(f5="T"),), "MEDIUM"),
        ((obr(f5="Y^N"),), None),
    ],
)
def test_priority(segments, priority):
    """TQ1-9, OBR-27.6, OBR-5; what is no priority says nothing (#028)."""
    assert read("ORC|NW|P1", *segments).priority == priority


def test_numbers_of_the_order():
    """ORC-2 and ORC-3 before OBR-2 and OBR-3; an EI without an entity identifier is none (#031)."""
    found = read("ORC|NW|P1^HISNS|^Filler App^1.2^ISO", obr(f2="P9", f3="F9^RIS"))
    assert found.placer_order_number == Identifier("P1", "HISNS")
    assert found.filler_order_number == Identifier("F9", "RIS")


def test_an_order_without_number_is_refused():
    """AE 101 at ORC-2."""
    with pytest.raises(FieldRefused) as refused:
        read("ORC|NW", obr())
    assert (refused.value.condition, refused.value.location) == ("101", "ORC^1^2")


def test_an_order_without_obr_is_refused():
    """AE 100: nothing says what is ordered."""
    with pytest.raises(FieldRefused) as refused:
        read("ORC|NW|P1")
    assert refused.value.condition == "100"


@pytest.mark.parametrize(
    ("obx", "weight", "size"),
    [
        ("OBX|1|ST|^Body Weight||65|kg", Decimal("65"), None),
        ("OBX|1|NM|29463-7^Body weight^LN||154.3|[lb_av]", Decimal("69.99"), None),
        ("OBX|1|NM|W||86|KG", Decimal("86"), None),
        ("OBX|1|NM|H||189|CM", None, Decimal("1.89")),
        ("OBX|1|ST|^Body Height||1,65|m", None, Decimal("1.65")),
        ("OBX|1|ST|^Body Height||heavy|m", None, None),
        ("OBX|1|ST|^Body Weight||65|parsec", None, None),
        ("OBX|1|NM|SODIUM||145|mmol/L", None, None),
        ("OBX|1|NM|SODIUM||145|mmol/L\rOBX|2|NM|W||86|KG", Decimal("86"), None),
        ('OBX|1|NM|SODIUM||""', None, None),
        ('OBX|1|NM|W||""', "", None),
    ],
)
def test_weight_and_height(obx, weight, size):
    """In kg and m, from LOINC codes or words, with their units converted (#001, #066)."""
    found = read("ORC|NW|P1", obr(), obx)
    assert (found.patient_weight, found.patient_size) == (weight, size)


def test_clinical_facts_of_the_order():
    """OBR-12, -13, -16, -30, -31, PV1-8, -15, -3, -19, AL1, NTE."""
    found = read(
        "PV1||E|RAD^CT1^01|||||^Refer^Rita^^^Dr|||||||B6||||V1^^^HOSP",
        "AL1|1||^Penicillin",
        "ORC|NW|P1",
        obr(f12="^Restless", f13="Fell off~a ladder", f16="9^Order^Olaf", f30="WALK", f31="^Wrist pain"),
        "NTE|1||first note",
        "NTE|2||second note",
    )
    assert found.patient_state == "Restless" and found.clinical_information == "Fell off\na ladder"
    assert found.requesting_physician == "Order^Olaf" and found.visit.referring_physician == "Refer^Rita^^Dr"
    assert found.transport_arrangements == "WALK" and found.pregnancy_status == 3
    assert found.allergies == "Penicillin"
    assert found.procedures[0].reason == "Wrist pain" and found.procedures[0].comments == "first note\nsecond note"
    assert found.visit.admission_id == Identifier("V1", "HOSP")
    assert found.visit.current_patient_location == "RAD CT1 01"


def test_notes_of_the_order_hold_beside_those_of_its_procedures():
    """NTE behind ORC and behind OBR: neither is lost."""
    assert read("ORC|NW|P1", "NTE|1||order", obr(), "NTE|1||exam").procedures[0].comments == "order\nexam"
    two = read("ORC|NW|P1", "NTE|1||order", obr(), "NTE|1||exam", obr()).procedures
    assert [procedure.comments for procedure in two] == ["order\nexam", "order"]


@pytest.mark.parametrize(
    ("segment", "status"),
    [
        ("OBX|1|CE|82810-3^Pregnancy status^LN||77386006^Pregnant^SCT", 3),
        ("OBX|1|CE|82810-3^Pregnancy status^LN||LA26683-5^Not pregnant^LN", 1),
        ("OBX|1|CE|82810-3^Pregnancy status^LN||maybe", None),
        ("OBX|1|CE|11111-1^Other^LN||77386006", None),
    ],
)
def test_pregnancy_observed(segment, status):
    """(0010,21C0) from an OBX where PV1-15 says nothing."""
    assert read("ORC|NW|P1", obr(), segment).pregnancy_status == status


def test_what_is_not_said_is_none_and_the_explicit_null_is_empty():
    """So that an update leaves the one and clears the other."""
    said = read("ORC|NW|P1", obr(f13='""', f30='""'))
    assert said.clinical_information == "" and said.transport_arrangements == ""
    assert read("ORC|NW|P1", obr()).clinical_information is None


def test_dg1_before_the_first_orc_is_everybodys_and_otherwise_its_own():
    """The reason of each order (#060, #065)."""
    parsed = Message.parse(message(PID, "DG1|1|||shared", "ORC|NW|1", obr(), "ORC|NW|2", obr(), "DG1|1||R10^own"))
    by = reading()
    requests = [
        order_request(group, patient_identity(parsed, by), visit_info(parsed, by), by) for group in order_groups(parsed)
    ]
    assert [request.procedures[0].reason for request in requests] == ["shared", "own"]


@pytest.mark.parametrize(
    ("pid", "identifier"),
    [
        ("PID|||1^^^ADT^MR", Identifier("1", "ADT")),
        ("PID|||NH1^^^X^NH~PI1^^^DDS&1.3^PI", Identifier("PI1", "DDS")),
        ("PID|||1^^^&1.2.3&ISO", Identifier("1", "1.2.3")),
        ("PID|||1^^^^TW", Identifier("1", "TW")),
        ("PID|||1^^^^PI", Identifier("1", "")),
        ("PID|||1^2^6^^^S", Identifier("1", "S")),
        ("PID||2^^^B|||", Identifier("2", "B")),
        ('PID||""|""|4', Identifier("4", "")),
    ],
)
def test_patient_identifier(pid, identifier):
    """PID-3's medical record number, its authority where it is found, PID-2 and PID-4 behind it (#028, #036, #037)."""
    assert identity(pid).identifier == identifier


def test_the_feeds_own_authority_is_preferred_and_stands_in():
    """A feed that knows its hospital's authority."""
    by = reading(default_assigning_authority="HOSP")
    assert identity("PID|||9^^^NAT^MR~1^^^HOSP^XX", by).identifier == Identifier("1", "HOSP")
    assert identity("PID|||1", by).identifier == Identifier("1", "HOSP")


def test_other_identifiers_are_kept():
    """Every further repetition that names an authority."""
    assert identity("PID|||1^^^A^MR~2^^^B^PPSN~3").other_ids == (Identifier("2", "B"),)


@pytest.mark.parametrize("pid", ["PID|||", "PID|1", 'PID|||""'])
def test_a_patient_without_identifier_is_refused(pid):
    """AE 101 at PID-3."""
    with pytest.raises(FieldRefused) as refused:
        identity(pid)
    assert (refused.value.condition, refused.value.location) == ("101", "PID^1^3")


def test_an_identifier_is_never_cut():
    """A cut identifier could be somebody else's."""
    with pytest.raises(FieldRefused) as refused:
        identity("PID|||" + "9" * 65)
    assert refused.value.condition == "102" and "9" not in str(refused.value)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("Sample^Grace^Ann^Jr^Dr^MD", "Sample^Grace^Ann^Dr^Jr MD"),
        ("van Gogh&van&Gogh^Vincent", "van Gogh^Vincent"),
        ("PAAT&JOHN&JOSEPH", "PAAT^JOHN^JOSEPH"),
        ("ABC test", "ABC test"),
        (r"O\S\Neil=X^Ann", "O Neil X^Ann"),
        ("木村^通^^^^^L^I~キムラ^トオル^^^^^L^P", "=木村^通=キムラ^トオル"),
        ("Kimura^Toru^^^^^L^A~木村^通^^^^^L^I", "Kimura^Toru=木村^通"),
        ("Nick^Name^^^^^N~Legal^Lee^^^^^L", "Legal^Lee"),
        ("Maiden^May^^^^^M~Alias^Al^^^^^A", "Maiden^May"),
        ('""', ""),
        ("", None),
    ],
)
def test_patient_name(field, name):
    """XPN to PN: prefix before suffix, subcomponents (#019), ideographic and phonetic groups (#067)."""
    assert identity(f"PID|||1||{field}").patient_name == name


@pytest.mark.parametrize(
    ("field", "day"),
    [
        ("19800229", "1980-02-29"),
        ("19500401000000", "1950-04-01"),
        ("1980-02-29", "1980-02-29"),
        ('""', ""),
        ("Aug 15, 1942", None),
        ("12345678", None),
        ("19810229", None),
    ],
)
def test_birth_date(field, day):
    """A bad one is left out and told, not refused (#017, #065)."""
    by = reading()
    found: Any = identity(f"PID|||1||X||{field}", by).patient_birth_date
    assert (str(found) if found is not None else None) == day
    assert by.warnings == (["PID-7.1 is not a date of birth: not used"] if day is None else [])


@pytest.mark.parametrize(
    ("field", "sex"),
    [("F", "F"), ("m", "M"), ("A", "O"), ("U", ""), ('""', ""), ("", None), ("9", None), ("Female", "F"), ("W", "F")],
)
def test_sex(field, sex):
    """Table 0001 to (0010,0040)."""
    assert identity(f"PID|||1||X|||{field}").patient_sex == sex


def test_control_characters_do_not_get_through():
    r"""``\X00\`` and ``\X0D\`` in a name: PostgreSQL takes no NUL, a worklist no line end."""
    assert identity("PID|||1||Sam\\X00\\ple\\X0D\\Ann^Grace").patient_name == "Sample Ann^Grace"


def test_every_attribute_of_the_preset_is_looked_up():
    """The presets hold every attribute, and none that nothing reads."""
    readers = ("request", "orders", "mapping", "identity", "siu", "oru", "attributes")
    source = "".join(Path("hl7", f"{name}.py").read_text().split("NAMES = ")[-1] for name in readers)
    for name in Feed.Preset.values:
        assert set(preset(name)["attributes"]) == NAMES
    assert all(f'"{attribute}"' in source for attribute in NAMES)
