"""A feed's mapping as data: each form of a place, tables, conditions, station rules, required fields; what is refused.

The messages are ours, each with an oddity met in the wild (``#``: standards/hl7.md); the mappings are all data.
"""

import time
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from hl7 import rules
from hl7.models import Feed, InboundMessage
from hl7.sources import sources
from ris.models import Order, RequestedProcedure, ScheduledProcedureStep
from tests.hl7.conftest import answer_to, message, order, verdict

PID = "PID|||GRACE1^^^ADT^MR||Sample^Grace||19800229|F"


@pytest.fixture
def mapped(feed):
    """Give the feed a mapping, checked as it would be when saved."""

    def give(preset: str = "lenient", authority: str = "", **mapping: Any) -> Feed:
        rules.check(preset, mapping)
        feed.preset, feed.mapping, feed.default_assigning_authority = preset, mapping, authority
        feed.save()
        return feed

    return give


def obr(**fields: str) -> str:
    values = {int(name[1:]): text for name, text in fields.items()}
    return "|".join(["OBR", *(values.get(number, "") for number in range(1, max(values, default=1) + 1))])


def taken(*segments: str, **msh: str) -> tuple[Order, RequestedProcedure, ScheduledProcedureStep]:
    """What a message that is answered AA made."""
    answer = answer_to(message(*segments, **msh))
    assert answer.value("MSA-1") == "AA", str(answer)
    step = ScheduledProcedureStep.objects.get()
    return step.requested_procedure.order, step.requested_procedure, step


@pytest.mark.django_db
def test_the_record_number_stands_in_pid_2(mapped):
    """As of Meditech (#028), with the coding scheme's place repeating the code."""
    places = {"patient_identifier": "PID-2, PID-3", "accession_number": "OBR-18.1, ORC-3.1"}
    mapped(attributes={**places, "scheduled_procedure_step_id": ""}, authority="MED")
    pid = "PID|1|W777|W888^2^6^^^S||Sample^Grace"
    sent = obr(f4="XABD^CT Abdomen^XABD^CT Abdomen", f5="Y^N", f20="GRAJOS", f24="CT")
    order_, _exam, step = taken(pid, "ORC|NW|P1|3012", sent)
    assert (order_.patient.patient_id, order_.patient.issuer_of_patient_id) == ("W777", "MED")
    assert order_.accession_number == "3012" and step.scheduled_procedure_step_id != "GRAJOS"


@pytest.mark.django_db
def test_fields_that_are_shifted_by_one(mapped):
    """Everything behind OBR-13 (#039): physician, accession number, section and time."""
    mapped(
        attributes={
            "requesting_physician": "OBR-15, ORC-12",
            "accession_number": "OBR-17.1 or refuse",
            "modality": "OBR-22.1",
            "start": "OBR-24.4 or refuse",
            "procedure_code": "OBR-4",
        },
        tables={"modality": {"RAD": "DX"}},
    )
    shifted = obr(f4="71020^Chest PA^LOINC", f15="9^Order^Olaf", f17="RAD1", f22="RAD", f24="1^^^202611220930^^R")
    order_, _exam, step = taken(PID, "ORC|NW|P1", shifted)
    assert (order_.accession_number, order_.requesting_physician, step.modality) == ("RAD1", "Order^Olaf", "DX")
    assert step.requested_start and step.requested_start.hour == 9
    assert (
        step.provenance["requested_start"][0] == "OBR-24.4" and order_.provenance["accession_number"][0] == "OBR-17.1"
    )


@pytest.mark.django_db
def test_the_room_stands_in_obr_19_and_the_procedure_id_is_ours(mapped):
    """#047."""
    mapped(attributes={"station_name": "OBR-19.1", "requested_procedure_id": "", "reason": "OBR-31.1"})
    _order, exam, step = taken(PID, "ORC|NW|P1", obr(f4="K^Knee", f18="A5", f19="Eleva3", f24="DX", f31="post tkr"))
    assert (step.station_name, exam.reason) == ("Eleva3", "post tkr")
    assert exam.requested_procedure_id.startswith("RP") and "requested_procedure_id" not in exam.provenance


@pytest.mark.django_db
def test_a_private_order_control_code_and_a_modality_in_front_of_the_code(mapped):
    """RF for *accepted for execution*, XA. before the code (#044)."""
    raw = message(PID, "ORC|RF|P1|||IP", obr(f4="XA.AORTIC^Angio", f24="ALT"))
    mapped(attributes={"modality": "OBR-4.1 ~ ^([A-Z]{2})\\."})
    assert verdict(answer_to(raw))[:2] == ("AE", "103")
    mapped(attributes={"modality": "OBR-4.1 ~ ^([A-Z]{2})\\."}, tables={"order_control": {"RF": "NW", "RF XX": "CA"}})
    assert taken(PID, "ORC|RF|P1|||IP", obr(f4="XA.AORTIC^Angio", f24="ALT"))[2].modality == "XA"


@pytest.mark.django_db
@pytest.mark.parametrize(("sent", "number"), [("U-ID2579336", "2579336"), ("2579336", "2579336")])
def test_a_prefix_is_taken_off(mapped, sent, number):
    """medavis' U-ID (#032)."""
    mapped(attributes={"accession_number": "OBR-18.1 ~ ^(?:U-ID)?(.+)$"})
    assert taken(PID, "ORC|SC|P1|||SC", obr(f4="X", f18=sent))[0].accession_number == number


@pytest.mark.django_db
def test_the_accession_number_is_the_placers(mapped):
    """#034."""
    mapped(attributes={"accession_number": "ORC-2.1"})
    assert taken(PID, "ORC|NW|311371289", obr(f4="X", f24="US"))[0].accession_number == "311371289"


@pytest.mark.django_db
@pytest.mark.parametrize("sent", ["X" * 46, "A\\E\\B"])
def test_an_accession_number_that_dicom_cannot_hold_is_refused_or_ours(mapped, sent):
    """#024: never cut."""
    raw = order(accession=sent)
    mapped(attributes={"accession_number": "OBR-18.1 or refuse"})
    assert verdict(answer_to(raw)) == ("AE", "102", "OBR^1^18") and not Order.objects.exists()
    mapped(attributes={"accession_number": "OBR-18.1"})
    answer_to(order(accession=sent))
    number = Order.objects.get().accession_number
    assert number and number not in sent


@pytest.mark.django_db
def test_the_same_placer_number_for_another_patient_is_refused(mapped):
    """#041: 205, whatever the mapping."""
    mapped(attributes={"accession_number": "OBR-17.1"})
    answer_to(order(placer="P1"))
    found = answer_to(order("SC", placer="P1", patient="OTHER9"))
    assert verdict(found)[:2] == ("AE", "205") and Order.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("sent", "titles"),
    [
        ({"f24": "DX", "f4": "XHAND"}, ["XRAY1"]),
        ({"f24": "DX", "f4": "XWRIST"}, ["XRAY2"]),
        ({"f24": "CT"}, ["CT1"]),
        ({"f24": "DX", "f4": "OTHER"}, []),
    ],
)
def test_station_rules(mapped, sent, titles):
    """By procedure code, by modality; the first that fits, and AE titles in the message before them."""
    mapped(stations=["OBR-4.1 = XHAND|XFOOT* -> XRAY1", "OBR-4.1 = xwrist -> XRAY2", "modality = CT -> CT1"])
    assert taken(PID, "ORC|NW|P1", obr(**{"f4": "X", **sent}))[2].requested_stations == titles


@pytest.mark.django_db
def test_the_location_names_the_station(mapped):
    """By PV1-3; IPC-9 goes before any rule."""
    mapped(stations=["PV1-3.1 = ER -> XRAY1"])
    step = taken(PID, "PV1||O|ER^1", "ORC|NW|P1", obr(f4="X", f24="DX"))[2]
    assert step.requested_stations == ["XRAY1"] and step.provenance["requested_stations"][0] == "PV1-3.1"


@pytest.mark.django_db
def test_notes_and_observations_are_places_too(mapped):
    """Comments only of one kind of NTE and of an OBX; weight from a Z segment; the Study UID in an OBX of the site."""
    mapped(
        attributes={
            "comments": "NTE-3 if NTE-2 = L, OBX-5 if OBX-3.1 = REMARK",
            "patient_weight": "ZKG-2, OBX-5 if OBX-3.1 = KILOS",
            "study_instance_uid": "OBX-5.1 if OBX-3.1 = STUDY if uid",
        }
    )
    observed = ["OBX|1|ST|STUDY||1.2.3.4.5.6", "OBX|2|ST|REMARK||claustrophobic", "OBX|3|NM|KILOS||154.3|lb"]
    order_, exam, _step = taken(PID, "ORC|NW|P1", obr(f4="X"), "NTE|1|P|not this", "NTE|2|L|this~and this", *observed)
    assert exam.comments == "this\nand this\nclaustrophobic" and exam.provenance["comments"][0] == "OBX-5"
    assert exam.study_instance_uid == "1.2.3.4.5.6" and exam.provenance["study_instance_uid"][0] == "OBX-5.1"
    assert str(order_.patient_weight) == "69.99" and order_.provenance["patient_weight"][0] == "OBX-5"
    assert answer_to(message(PID, "ORC|XO|P1", obr(f4="X"), "ZKG||71", 'NTE|1|L|""')).value("MSA-1") == "AA"
    order_.refresh_from_db()
    exam.refresh_from_db()
    assert (str(order_.patient_weight), exam.comments) == ("71.00", "")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("rule", "number"),
    [("PID-3 if type NH", "2"), ("PID-3 if authority B", "2"), ("PID-3", "1"), ("PID-3(2)", "2"), ("PID-18", "18")],
)
def test_which_identifier_is_ours(mapped, rule, number):
    """By type, by authority, by its place, from another field."""
    mapped(attributes={"patient_identifier": rule})
    pid = "PID|||1^^^A^MR~2^^^B^NH||Sample^Grace|||||||||||||18^^^A"
    assert taken(pid, "ORC|NW|P1", obr(f4="X"))[0].patient.patient_id == number


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("required", "location"), [("PV1-3.1", "PV1^1^3"), ("modality", "OBR^1^24"), ("patient_name", "PID^1^5")]
)
def test_what_must_be_there(mapped, required, location):
    """AE 101 that names the field."""
    mapped(required=[required], attributes={"modality": "OBR-24.1"})
    bare = message("PID|||1^^^A", "ORC|NW|P1", obr(f4="X"))
    assert verdict(answer_to(bare)) == ("AE", "101", location)
    full = message("PID|||1^^^A||Sample^Grace", "PV1||O|ER", "ORC|NW|P1", obr(f4="X", f24="CT"))
    assert answer_to(full).value("MSA-1") == "AA"


@pytest.mark.django_db
def test_answer_codes_of_the_feed(mapped):
    """AR for what this sender would else send for ever."""
    mapped(acknowledgment={"content_error": "AR"})
    assert answer_to(order(start="20250230")).value("MSA-1") == "AR"
    assert answer_to(order()).value("MSA-1") == "AA"


@pytest.mark.django_db
def test_an_unknown_event_may_be_passed_over(mapped):
    """With AA and a remark."""
    raw = message(PID, kind="ADT^A60")
    assert verdict(answer_to(raw))[:2] == ("AR", "201")
    mapped(policies={"unknown_event": "ignore"})
    found = answer_to(message(PID, kind="ADT^A60"))
    assert found.value("MSA-1") == "AA" and "changes nothing" in InboundMessage.objects.first().reason


#: Field -> text of a full message of each IHE transaction.
_PATIENT = {"PID-3": "GRACE1^^^ADT^MR", "PID-5": "Sample^Grace", "PID-7": "19800229", "PID-8": "F", "PV1-2": "O"}
_ORDER = {**_PATIENT, "ORC-1": "NW", "OBR-1": "1", "OBR-4": "X^Y^L"}
RAD_1 = {**_PATIENT, "EVN-2": "20261122", "PV1-3": "W1", "PV1-7": "7^Att", "PV1-10": "MED", "PV1-17": "8^Adm"}
RAD_2 = {**_ORDER, "ORC-2": "P1", "OBR-16": "9^Order^Olaf"}
RAD_4_2_3_1 = {
    **RAD_2,
    "ORC-3": "F1",
    "ORC-5": "SC",
    "OBR-18": "A1",
    "OBR-19": "RP1",
    "OBR-20": "S1",
    "OBR-24": "DX",
    "OBR-27": "^^^202611220930",
    "ZDS-1": "1.2.3.4.5^^Application^DICOM",
}
RAD_4_2_5_1 = {
    **_ORDER,
    "ORC-3": "F1",
    "ORC-5": "SC",
    "TQ1-7": "202611220930",
    "IPC-1": "A1",
    "IPC-2": "RP1",
    "IPC-3": "1.2.3.4.5",
    "IPC-4": "S1",
    "IPC-5": "DX",
}
#: Preset, version, MSH-9, the full message, and those of its fields that need not be there.
TRANSACTIONS = {
    "RAD-1 2.3.1": ("ihe_2_3_1", "2.3.1", "ADT^A01", RAD_1, ("PID-7",)),
    "RAD-1 2.5.1": ("ihe_2_5_1", "2.5.1", "ADT^A01", RAD_1, ("PID-7",)),
    "RAD-1 A04": ("ihe_2_3_1", "2.3.1", "ADT^A04", RAD_1, ("PID-7", "PV1-3", "PV1-7", "PV1-10", "PV1-17")),
    "RAD-2 2.3.1": ("ihe_2_3_1", "2.3.1", "ORM^O01", RAD_2, ("PID-7", "OBR-1")),
    "RAD-2 2.5.1": ("ihe_2_5_1", "2.5.1", "OMG^O19", RAD_2, ("PID-7", "OBR-1")),
    "RAD-4 2.3.1": ("ihe_2_3_1", "2.3.1", "ORM^O01", RAD_4_2_3_1, ("PID-7", "OBR-1")),
    "RAD-4 2.5.1": ("ihe_2_5_1", "2.5.1", "OMI^O23", RAD_4_2_5_1, ("PID-7",)),
}


def built(fields: dict[str, str], kind: str, version: str) -> bytes:
    """A message of these fields, its segments in their order."""
    segments: dict[str, dict[int, str]] = {}
    for path, text in sorted(fields.items(), key=lambda item: _PLACE.index(item[0][:3])):
        segments.setdefault(path[:3], {})[int(path[4:])] = text
    lines = (
        "|".join([name, *(values.get(number, "") for number in range(1, max(values) + 1))])
        for name, values in segments.items()
    )
    return message(*lines, kind=kind, version=version)


_PLACE = ("EVN", "PID", "PV1", "ORC", "TQ1", "OBR", "IPC", "ZDS")


@pytest.mark.django_db
@pytest.mark.parametrize("name", TRANSACTIONS)
def test_an_ihe_preset_asks_for_the_whole_set(mapped, name):
    """The full message is taken; without any one required field it is AE 101 that names the field."""
    preset, version, kind, full, optional = TRANSACTIONS[name]
    mapped(preset)
    assert answer_to(built(full, kind, version)).value("MSA-1") == "AA"
    for path in full:
        answer = answer_to(built({other: text for other, text in full.items() if other != path}, kind, version))
        if path in optional:
            assert answer.value("MSA-1") == "AA", path
            continue
        where = answer.value("ERR-2") or answer.value("ERR-1") or ""
        assert answer.value("MSA-1") == "AE" and "101" in (answer.value("ERR-3.1") or where), path
        segment, field = ("ORC", "7") if path == "OBR-27" else path.split("-")
        assert where.startswith(f"{segment}^1^{field}"), path


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["ORC-7", "OBR-15", "OBR-27"])
def test_rad_4_in_2_5_1_forbids_what_went_to_tq1(mapped, path):
    """AE with the field; an OMG may have it."""
    mapped("ihe_2_5_1")
    assert verdict(answer_to(built({**RAD_4_2_5_1, path: "^^^202611220930"}, "OMI^O23", "2.5.1"))) == (
        "AE",
        "102",
        f"{path[:3]}^1^{path[4:]}",
    )
    assert answer_to(built({**RAD_2, path: "^^^202611220930"}, "OMG^O19", "2.5.1")).value("MSA-1") == "AA"


@pytest.mark.django_db
@pytest.mark.parametrize("number", [3, 4, 5, 6, 11])
def test_an_ihe_preset_asks_for_the_header(mapped, number):
    """Whatever the message is, also a cancellation."""
    mapped("ihe_2_3_1")
    head, rest = message("ORC|CA|P1").split(b"\r", 1)
    fields = head.split(b"|")
    fields[number - 1] = b""
    assert verdict(answer_to(b"|".join(fields) + b"\r" + rest)) == ("AE", "101", f"MSH^1^{number}")


@pytest.mark.django_db
def test_every_ipc_must_be_whole(mapped):
    """The second of two lacks its modality."""
    mapped("ihe_2_5_1")
    raw = built(RAD_4_2_5_1, "OMI^O23", "2.5.1") + b"IPC|A1|RP1|1.2.3.4.5|S2\r"
    assert verdict(answer_to(raw)) == ("AE", "101", "IPC^2^5")


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["RAD-4 2.3.1", "RAD-4 2.5.1"])
def test_an_ihe_preset_reads_an_order_of_its_kind(mapped, name):
    """An ORM with ZDS, an OMI with IPC."""
    preset, version, kind, full, _optional = TRANSACTIONS[name]
    mapped(preset)
    assert answer_to(built(full, kind, version)).value("MSA-1") == "AA"
    step = ScheduledProcedureStep.objects.get()
    exam = step.requested_procedure
    assert (exam.order.accession_number, exam.requested_procedure_id) == ("A1", "RP1")
    assert (exam.study_instance_uid, step.scheduled_procedure_step_id) == ("1.2.3.4.5", "S1")
    assert (step.modality, step.status) == ("DX", "SCHEDULED")


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ([], "is an object"),
        ({"colour": {}}, "colour: there is no such section"),
        ({"stations": {}}, "stations is not a list"),
        ({"attributes": {"modalty": "OBR-24"}}, "attributes.modalty: there is no such attribute"),
        ({"attributes": {"modality": "OBR24"}}, "attributes.modality: 'OBR24' is not a place"),
        ({"attributes": {"modality": 24}}, "attributes.modality: is not a text"),
        ({"attributes": {"modality": "OBR-24.1 if blue"}}, "attributes.modality: 'blue' is not a condition"),
        ({"attributes": {"modality": "OBR-24.1 ~ (a"}}, "attributes.modality: '(a' is not a regular expression"),
        ({"attributes": {"modality": "OBR-24.1 ~ (a+)+$"}}, "a group may not be repeated"),
        ({"attributes": {"modality": "OBR-24.1 ~ ^a*a*a*a*a*b"}}, "has too many"),
        ({"attributes": {"modality": "OBR-24.1 ~ " + "a?" * 20}}, "has too many"),
        ({"attributes": {"modality": "OBR-24.1 ~ " + "a" * 201}}, "more than 200 characters"),
        ({"attributes": {"procedure_code": "OBR-4 ~ x"}}, "takes no regular expression"),
        ({"attributes": {"modality": "OBR-24.1 if type MR"}}, "only identifiers have a type"),
        ({"tables": {"modality": {"XR": 1}}}, "tables.modality is not an object of texts"),
        ({"tables": {"colour": {}}}, "tables.colour: no attribute"),
        ({"stations": ["OBR-24.1 = RAD -> CT1", "CT1"]}, "stations, line 2: 'CT1' is not a rule"),
        ({"stations": ["OBR-24.1 = RAD -> " + "A" * 17]}, "stations, line 1: An AE title"),
        ({"required": ["nothing"]}, "required, line 1: 'nothing' is neither"),
        ({"required": ["PV1-3.1 if uid"]}, "required, line 1: 'PV1-3.1 if uid': only another field can be asked for"),
        ({"required": ["PV1-3.1 if blue"]}, "required, line 1: 'blue' is not a condition"),
        ({"required": [7]}, "required, line 1: 7 is not a line"),
        ({"forbidden": ["modality"]}, "forbidden, line 1: 'modality' is neither"),
        ({"policies": {"unknown_event": "perhaps"}}, "policies.unknown_event: 'perhaps' is not one of refuse, ignore"),
        ({"acknowledgment": {"accept": "OK"}}, "acknowledgment.accept: 'OK' is not one of"),
    ],
)
def test_a_mapping_that_is_not_in_order_is_refused_by_its_line(mapping, words):
    """A sentence that names what is wrong and where."""
    with pytest.raises(ValidationError) as refused:
        rules.check("lenient", mapping)
    assert any(words in sentence for sentence in refused.value.messages), refused.value.messages


def test_every_bad_line_has_its_sentence():
    """Not only the first."""
    with pytest.raises(ValidationError) as refused:
        rules.check("lenient", {"attributes": {"a": "", "modality": "x"}, "required": ["y"]})
    assert len(refused.value.messages) == 3


def test_a_regular_expression_may_hold_a_comma():
    """Places are divided where another one begins."""
    found = sources("OBR-4.1 ~ ^([A-Z]{2,3})[.,] , OBR-24.1")
    assert [source.path for source in found] == ["OBR-4.1", "OBR-24.1"] and found[0].regex.groups == 1


def test_no_text_makes_a_permitted_regular_expression_slow():
    """The worst that is let in, on a text made for it."""
    source = sources("NTE-3.1 ~ .*a.*ab$")[0]

    class Scope:
        def value(self, path: str) -> str:
            return "a" * 100_000

    began = time.perf_counter()
    assert source.taken(Scope(), {}) is None
    assert time.perf_counter() - began < 2
