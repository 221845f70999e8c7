"""Every kind of message in every form that is offered: validated by hl7apy where it can, read back with our reader.

Not covered by hl7apy: the structure of ORM^O01, which it never validates (its choice groups are all required), so there
each segment is validated by itself.
"""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from hl7apy.parser import parse_message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hl7 import outbound
from hl7.destinations import OFFERED, VERSIONS, Destination, Kind, Structure, Subscription
from hl7.er7 import Message
from ris.inputs import Code, Identifier, OrderKey, PatientIdentity, VisitInfo
from ris.models import (
    Order,
    Patient,
    PatientIdentifier,
    RequestedProcedure,
    Room,
    ScheduledProcedureStep,
    WorkflowEvent,
)
from ris.services import events, orders, patients, scheduling
from ris.states import Verb
from tests import making
from tests.hl7.conftest import answer_to, message, verdict
from tests.making import GRACE, NINE

pytestmark = pytest.mark.django_db

FORMS = [
    (kind, structure, version)
    for kind, structures in OFFERED.items()
    for structure, versions in structures.items()
    for version in versions
]
#: Kind -> what its events are told as in the story below, in their order.
STORY = {
    Kind.ORDER_STATUS: ["SC", "SC", "SC", "SC", "CA", "CM"],
    Kind.FILLER_ORDER: ["SN", "OC"],
    Kind.PROCEDURE: ["NW", "NW", "CA"],
    Kind.APPOINTMENT: ["S12", "S12", "S13", "S14", "S14", "S15", "S26"],
    Kind.PATIENT: ["update", "update", "update", "merge"],
    Kind.REPORT: ["report final"],
}
REPORT = (
    "PID|||P100^^^SUNVIEW",
    "OBR|1|4711^HIS||CTHEAD^CT head^SUNVIEW||||||||||||||||||20261124101500|||F",
    r"OBX|1|FT|T^Text^L||No bleeding.\.br\Size 3\S\4 cm \T\ more~Addendum||||||F",
    "OBX|2|ED|P^PDF^L||^application^pdf^Base64^JVBERg==||||||F",
    "OBX|3|HD|113014^DICOM Study^DCM||1.2.3||||||F",
)


#: Where hl7apy 1.3.5 does not know the structure, although it is right: ORM, and ADT other than A01 in v2.3.1.
NOT_VALIDATED = {
    *((Structure.ORM, version) for version in VERSIONS),
    (Structure.ADT_A08, "2.3.1"),
    (Structure.ADT_A31, "2.3.1"),
}


@pytest.fixture
def story(site, desk) -> Order:
    """An order of the desk, booked, moved, held, released and canceled; one of the HIS
    that did not come and has a report all the same; a merge."""
    visit = VisitInfo(admission_id=Identifier("V1", "HOSP"), patient_class="O", current_patient_location="W1")
    request = making.order_request(
        "",
        making.step_request(start=None, protocol_codes=(Code("P1", "L", "Head plain"), Code("P2", "L", "Contrast"))),
        sender="DESK",
        placer_order_number=Identifier(),
        filler_order_number=Identifier("F1", "SUNVIEW"),
        visit=visit,
        requesting_physician="Ordman^Olga^^Dr",
        priority="STAT",
    )
    order = orders.place(request, desk)
    other = orders.place(making.order_request("4711", making.step_request(station_ae_titles=("CT1",))), making.HIS)
    step, late = making.only_step(order), making.only_step(other)
    room = Room.objects.get(stations__ae_title="CT1").pk
    for start in (NINE, NINE + timedelta(hours=1)):
        scheduling.book(step.pk, room_pk=room, start=start, actor=desk)
    scheduling.hold(step.pk, desk, "creatinine?")
    scheduling.release(step.pk, desk)
    orders.cancel_exam(step.requested_procedure_id, desk, "patient left")
    scheduling.no_show(late.pk, desk)
    patients.register(replace(GRACE, telephone="1234"), making.HIS)
    patients.register(PatientIdentity(identifier=Identifier("OLD", "SUNVIEW"), patient_name="Hopper^G"), making.HIS)
    patients.merge(GRACE, Identifier("OLD", "SUNVIEW"), making.HIS)
    assert verdict(answer_to(message(*REPORT, kind="ORU^R01")))[0] == "AA"
    return order


def told(kind: Kind, structure: Structure, version: str) -> list[tuple[str, Message]]:
    """What of all that happened is told, and how."""
    to = Subscription(
        destination=Destination(name="X", receiving_application="PACS", receiving_facility="HOSP"),
        kind=kind,
        structure=structure,
        version=version,
    )
    found = []
    for event in WorkflowEvent.objects.order_by("id"):
        if said := outbound.trigger(kind, event):
            found.append((said, Message.parse(outbound.build(event, said, to, f"C{event.pk}"))))
    return found


def test_every_form_is_offered_once():
    """Each kind has a form and each form a builder."""
    assert set(OFFERED) == set(Kind) == set(outbound.KINDS)


@pytest.mark.parametrize(("kind", "structure", "version"), FORMS)
def test_each_form_is_built_and_valid(story, kind, structure, version):
    """hl7apy reads every message, finds each segment valid, and the structure too where it knows it."""
    messages = told(kind, structure, version)
    assert [said for said, _message in messages] == STORY[kind]
    for said, one in messages:
        for segment in parse_message(str(one), find_groups=False).children:
            assert segment.name == "ZDS" or segment.validate(), (said, segment.name)
        if (structure, version) not in NOT_VALIDATED:
            assert parse_message(str(one), find_groups=True).validate(), said


#: Kind, structure, what it is told as -> what the last such message must say; the version is the newest.
SAYS: dict[tuple[Kind, Structure, str], dict[str, str | None]] = {
    (Kind.ORDER_STATUS, Structure.OMG, "CA"): {
        "MSH-9": "OMG^O19^OMG_O19",
        "MSH-15": "AL",
        "ORC-1": "SC",
        "ORC-3": "F1^SUNVIEW",
        "ORC-5": "CA",
        "TQ1-7": "20261123100000+0000",
        "TQ1-9": "S",
        "OBR-4": "CTHEAD^CT head^SUNVIEW",
        "OBR-18": "SV00000001",
        "OBR-19": "RP00000001",
        "OBR-20": "SPS00000001",
        "OBR-24": "CT",
        "OBR-27": None,
        "ZDS-1": None,
    },
    (Kind.FILLER_ORDER, Structure.ORM, "SN"): {
        "MSH-9": "ORM^O01^ORM_O01",
        "MSH-15": None,
        "MSH-16": None,
        "ORC-1": "SN",
        "ORC-2": None,
        "ORC-3": "F1^SUNVIEW",
        "ORC-5": None,
        "OBR-16": "^Ordman^Olga^^^Dr",
        "PV1-3": "W1",
    },
    (Kind.FILLER_ORDER, Structure.OMG, "OC"): {"ORC-1": "OC", "ORC-3": "F1^SUNVIEW", "ORC-5": "CA"},
    (Kind.PROCEDURE, Structure.ORM, "NW"): {
        "ORC-1": "NW",
        "ORC-5": "SC",
        "ORC-7.4": "20261123100000+0000",
        "OBR-4": "CTHEAD^CT head^SUNVIEW^P1^Head plain^L",
        "OBR-27.6": "S",
        "OBR-44": "CTHEAD^CT head^SUNVIEW",
        "ZDS-1.2": "SUNVIEW",
        "ZDS-1.4": "DICOM",
    },
    (Kind.PROCEDURE, Structure.OMI, "CA"): {
        "MSH-9": "OMI^O23^OMI_O23",
        "PV1-2": "O",
        "ORC-1": "CA",
        "ORC-5": "CA",
        "ORC-7": None,
        "TQ1-7": "20261123100000+0000",
        "IPC-1": "SV00000001^SUNVIEW",
        "IPC-2": "RP00000001^SUNVIEW",
        "IPC-4": "SPS00000001^SUNVIEW",
        "IPC-5": "CT",
        "IPC-6(2)": "P2^Contrast^L",
        "IPC-8.2": "CT 1",
        "IPC-9": "CT1",
    },
    (Kind.APPOINTMENT, Structure.SIU, "S15"): {
        "MSH-9": "SIU^S15^SIU_S12",
        "SCH-2": "SPS00000001^SUNVIEW",
        "SCH-6": "cancel^patient left",
        "SCH-11": "^^M15^20261123100000+0000",
        "SCH-16": "molly",
        "SCH-25": "Cancelled",
        "SCH-27": "F1^SUNVIEW",
        "AIS-3": "CTHEAD^CT head^SUNVIEW",
        "AIS-4": "20261123100000+0000",
        "AIG-3": "CT1",
        "AIL-3": "^CT 1",
    },
    (Kind.APPOINTMENT, Structure.SIU, "S26"): {"SCH-25": "Noshow", "SCH-26": "4711^HIS", "RGS-2": "U"},
    (Kind.REPORT, Structure.ORU, "report final"): {
        "MSH-9": "ORU^R01^ORU_R01",
        "ORC-1": "RE",
        "OBR-2": "4711^HIS",
        "OBR-22": "20261124101500+0000",
        "OBR-25": "F",
        "OBX-3": "113014^DICOM Study^DCM",
        "OBX-11": "F",
    },
    (Kind.PATIENT, Structure.ADT_A08, "update"): {
        "MSH-9": "ADT^A08^ADT_A01",
        "EVN-1": "A08",
        "PID-3": "OLD^^^SUNVIEW",
        "PID-5": "Hopper^G^^^^^L",
        "PV1-2": "U",
    },
    (Kind.PATIENT, Structure.ADT_A31, "update"): {"MSH-9": "ADT^A31^ADT_A05", "EVN-1": "A31"},
    (Kind.PATIENT, Structure.ADT_A31, "merge"): {
        "MSH-9": "ADT^A40^ADT_A39",
        "PID-3": "P100^^^SUNVIEW",
        "PID-7": "19561209",
        "PID-13": "1234",
        "MRG-1": "OLD^^^SUNVIEW",
    },
}


@pytest.mark.parametrize(("kind", "structure", "said"), SAYS)
def test_what_a_message_says(story, kind, structure, said):
    """Field by field, with a reader that is not the builder's."""
    message = [message for how, message in told(kind, structure, "2.5.1") if how == said][-1]
    expected = SAYS[kind, structure, said]
    numbers = {"SV00000001": story.accession_number}
    procedure = story.procedures.get()
    numbers |= {"RP00000001": procedure.requested_procedure_id}
    numbers |= {"SPS00000001": procedure.steps.get().scheduled_procedure_step_id}
    for ours, theirs in numbers.items():
        expected = {path: text.replace(ours, theirs) if text else text for path, text in expected.items()}
    assert {path: message.value(path) for path in expected} == expected


def test_a_report_is_told_with_its_text(story):
    """Each line in an OBX of its own, delimiters and all; what is encapsulated as it came; the study once, ours."""
    _said, report = told(Kind.REPORT, Structure.ORU, "2.4")[0]
    study = Order.objects.get(placer_order_number="4711").procedures.get().study_instance_uid
    assert [(obx.value(2), obx.value(5)) for obx in report.segments if obx.name == "OBX"] == [
        ("ST", study),
        ("TX", "No bleeding."),
        ("TX", "Size 3^4 cm & more"),
        ("TX", "Addendum"),
        ("ED", "^application^pdf^Base64^JVBERg=="),
    ]


def test_an_exam_that_is_moved_is_a_change(site, desk):
    """XO with each step that is still planned; a canceled one is left out, and a last one makes it CA."""
    steps = (making.step_request(scheduled_procedure_step_id=name, station_ae_titles=("CT1",)) for name in "AB")
    order = orders.place(making.order_request("1", *steps), making.HIS)
    first = order.procedures.get().steps.first()
    scheduling.book(
        first.pk, room_pk=Room.objects.get(stations__ae_title="CT2").pk, start=NINE + timedelta(hours=2), actor=desk
    )
    said, message = told(Kind.PROCEDURE, Structure.OMI, "2.5.1")[-1]
    assert said == "XO" and message.value("TQ1-7") == "20261123090000+0000"
    assert [part.field(9) for part in message.segments if part.name == "IPC"] == ["CT2", "CT1"]
    said, message = told(Kind.PROCEDURE, Structure.ORM, "2.3.1")[-1]
    groups = [(part.value(20), part.value(27, component=4)) for part in message.segments if part.name == "OBR"]
    assert groups == [("A", "20261123110000+0000"), ("B", "20261123090000+0000")]
    orders.cancel_exam(order.procedures.get().pk, desk, "no")
    assert [said for said, _message in told(Kind.PROCEDURE, Structure.OMI, "2.5.1")][-1] == "CA"


def test_an_exam_that_is_ordered_otherwise_is_a_change(site):
    """XO for another text or priority; a repeat is none, and nothing is told of an exam that was never scheduled."""
    for number, start in (("1", NINE), ("2", None)):
        request = making.order_request(number, making.step_request(start=start))
        orders.place(request, making.HIS)
        for other in ({"priority": "STAT"}, {"procedures": (replace(request.procedures[0], reason="fall"),)}):
            orders.change(replace(request, **other), making.HIS)
            orders.change(replace(request, **other), making.HIS)
    messages = told(Kind.PROCEDURE, Structure.OMI, "2.5.1")
    assert [(said, one.value("ORC-2.1")) for said, one in messages] == [("NW", "1"), ("XO", "1"), ("XO", "1")]
    assert messages[-1][1].value("OBR-31.2") == "fall" and messages[-1][1].value("TQ1-9") == "S"


def test_an_exam_that_is_booked_again_is_no_new_one(site, desk):
    """Booked, taken back, booked again: NW, then XO; and CA also while it waits to be booked."""
    step = making.only_step(making.placed())
    room = Room.objects.get(stations__ae_title="CT1").pk
    step.start = None
    events.move(step, Verb.UNSCHEDULE, making.HIS)
    scheduling.book(step.pk, room_pk=room, start=NINE, actor=desk)
    said = [how for how, _message in told(Kind.PROCEDURE, Structure.OMI, "2.5.1")]
    assert said == ["NW", "XO", "XO"], "one for what was taken back, which is booked again when it is told"
    step.refresh_from_db()
    step.start = None
    events.move(step, Verb.UNSCHEDULE, making.HIS)
    orders.cancel_exam(step.requested_procedure_id, desk, "no contrast")
    for structure in (Structure.OMI, Structure.ORM):
        messages = told(Kind.PROCEDURE, structure, "2.5.1")
        assert [said for said, _message in messages] == ["NW", "CA"], "what was moved and is gone needs no word"
        assert messages[-1][1].value("ORC-1") == "CA"


def test_an_appointment_that_is_taken_back_is_canceled(site):
    """S15, although the exam only waits to be booked again."""
    step = making.only_step(making.placed())
    step.start = None
    events.move(step, Verb.UNSCHEDULE, making.HIS)
    said, siu = told(Kind.APPOINTMENT, Structure.SIU, "2.4")[-1]
    assert said == "S15" and siu.value("SCH-25") == "Cancelled"
    assert siu.value("SCH-2.1") == step.scheduled_procedure_step_id


def test_another_identifier_is_no_merge(site):
    """A47 with the old one in MRG."""
    patients.register(GRACE, making.HIS)
    patients.change_identifier(replace(GRACE, identifier=Identifier("P2", "SUNVIEW")), GRACE.identifier, making.HIS)
    adt = told(Kind.PATIENT, Structure.ADT_A08, "2.5.1")[-1][1]
    assert adt.value("MSH-9") == "ADT^A47^ADT_A30"
    assert (adt.value("PID-3"), adt.value("MRG-1")) == ("P2^^^SUNVIEW", "P100^^^SUNVIEW")


def test_a_step_of_several_stations_names_them_all(site):
    """IPC-9 repeats, as receivers read it although hl7apy allows one."""
    making.placed()
    assert told(Kind.PROCEDURE, Structure.OMI, "2.5.1")[0][1].text.rstrip().endswith("|CT1~CT2")


def test_what_came_from_the_his_is_no_news_of_ours(site):
    """An order and its cancellation by message: no SN, no OC."""
    making.placed("1")
    orders.cancel(OrderKey(sender="HIS|SUNVIEW", placer_order_number=Identifier("1", "HIS")), making.HIS)
    assert told(Kind.FILLER_ORDER, Structure.ORM, "2.3.1") == []


def test_a_form_that_is_not_offered_is_refused(story):
    """OMI before v2.5 has no IPC."""
    with pytest.raises(ValueError, match="not offered"):
        told(Kind.PROCEDURE, Structure.OMI, "2.4")


HOSTILE = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=300),
    st.text('|^~\\&\r\n\x0b\x1c"\u2028\x85AZXS0D ', max_size=60),
    st.sampled_from(
        [
            '""',
            ' "" ',
            '\r""',
            "\\X0D\\ZZZ|1",
            "\\.br\\",
            "\rZZZ|1",
            "山田^太郎=やまだ^たろう",
            "Ä" * 300,
            "~" * 50,
            "\\",
        ]
    ),
)
NULL = re.compile(r'[|^~&]""(?=[|^~&\r])')


def fill(name: str, code: str, text: str, number: str, other: str) -> None:
    """Put values into whatever is told, as far as the columns go."""
    Patient.objects.update(patient_name=name[:324], telephone=other[:64], patient_address=text[:250])
    RequestedProcedure.objects.update(code_value=code[:64], code_meaning=other[:64], reason=text[:250])
    ScheduledProcedureStep.objects.update(
        location=other[:64], station_name=code[:64], modality=code[:16], protocol_codes=[[code, other, text]]
    )
    Order.objects.update(
        requesting_physician=name[:324],
        referring_physician=name[:324],
        clinical_information=text,
        patient_state=other[:64],
        transport_arrangements=code[:64],
        filler_order_number=number[:64],
        filler_issuer=other[:64],
    )
    PatientIdentifier.objects.filter(value="OLD").update(issuer=other[:64])
    WorkflowEvent.objects.update(reason=text[:250], actor_name=name[:150])


@pytest.mark.parametrize("form", [form for form in FORMS if form[2] == "2.5.1"])
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(values=st.tuples(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE))
def test_nothing_in_a_value_becomes_structure(story, form, values):
    """Whatever names, codes, reasons and numbers hold: the same segments, none with more fields, and no null."""
    fill(*["plain"] * 5)
    plain = [message for _said, message in told(*form)]
    fill(*values)
    hostile = [message for _said, message in told(*form)]
    assert len(plain) == len(hostile)
    for before, after in zip(plain, hostile, strict=True):
        assert [part.name for part in after.segments] == [part.name for part in before.segments]
        counts = [
            (part.text.count("|"), most.text.count("|"))
            for part, most in zip(after.segments, before.segments, strict=True)
        ]
        assert all(count <= most for count, most in counts)
        assert not NULL.search(after.text)
        assert all(char.isprintable() or char == "\r" for char in after.text)


def test_a_name_comes_out_as_it_went_in(story):
    """Delimiters, escapes and long ideographic names, read back whole."""
    name = "O'|^~\\&X" * 30
    Patient.objects.update(patient_name=f"{name.replace('^', '')}^\\X0D\\=" + "山" * 60)
    message = told(Kind.PATIENT, Structure.ADT_A31, "2.5.1")[-1][1]
    assert message.value("PID-5(1).1") == name.replace("^", "") and message.value("PID-5(1).2") == "\\X0D\\"
    assert message.value("PID-5(2).1") == "山" * 60
