"""A step as worklist answer: only what was asked, well formed, in the scanner's character set."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from ris.inputs import Code
from ris.models import ScheduledProcedureStep, Station
from tests import making
from tests.making import GRACE
from tests.worklist.test_encoding import encoded
from worklist import encoding, entry, keys, mwl_answer
from worklist.identifier import read

pytestmark = pytest.mark.usefixtures("site")


def whole_query() -> Dataset:
    """Every attribute of Table K.6-1 as a return key."""
    identifier, step = Dataset(), Dataset()
    for target, table in ((identifier, keys.KEYS), (step, keys.STEP_KEYS)):
        for key in table:
            target.add_new(key.keyword, key.vr, [] if key.vr == "SQ" else None)
    identifier.ScheduledProcedureStepSequence = [step]
    return identifier


def planned(name: str = "Hopper^Grace", **parts) -> entry.Entry:
    step = making.step_request(
        station_ae_titles=("CT1", "CT2"), protocol_codes=(Code("P1", "99X", "head plain"),), description="CT head plain"
    )
    order = making.placed("A", step, patient=replace(GRACE, patient_name=name), **parts)
    found = entry.of_any(ScheduledProcedureStep.objects.get(requested_procedure__order=order).pk)
    assert found is not None
    return found


def answer(
    one: entry.Entry,
    identifier: Dataset,
    character_set: str = "ISO_IR 192",
    overlong: str = Station.Overlong.CUT,
    implicit: bool = True,
) -> Dataset:
    """The answer as pydicom reads it."""
    form = mwl_answer.Form(mwl_answer.asked(read(encoded(identifier, True), True)), implicit, character_set, overlong)
    data, _lost = mwl_answer.Writer(form).write(one)
    return encoding.decode(data, implicit)


def test_every_key_of_the_table_has_an_answer(db):
    """Type 1 and 2 keys are there, Type 1 never empty, and the answer is a whole data set in both syntaxes."""
    found = answer(planned(), whole_query())
    item = found.ScheduledProcedureStepSequence[0]
    for target, table in ((found, keys.KEYS), (item, keys.STEP_KEYS)):
        for key in table:
            if key.return_type in ("1", "2"):
                assert key.keyword in target, key.keyword
            if key.return_type == "1":
                assert target[key.keyword].value, key.keyword
    assert "SpecificCharacterSet" not in found
    for implicit in (True, False):
        sent = encoded(found, implicit)
        assert encoded(encoding.decode(sent, implicit), implicit) == sent


def test_values_come_from_the_order(db):
    """The site's clock, all stations, codes, numbers."""
    step = planned(patient_weight=Decimal("71.50"), patient_size=Decimal("0.80"), pregnancy_status=4, priority="STAT")
    found = answer(step, whole_query())
    item = found.ScheduledProcedureStepSequence[0]
    assert list(item.ScheduledStationAETitle) == ["CT1", "CT2"]
    assert (item.ScheduledProcedureStepStartDate, item.ScheduledProcedureStepStartTime) == ("20261123", "090000")
    assert (item.Modality, item.ScheduledProcedureStepStatus) == ("CT", "SCHEDULED")
    assert item.ScheduledProtocolCodeSequence[0].CodeMeaning == "head plain"
    assert found.RequestedProcedureCodeSequence[0].CodeValue == "CTHEAD"
    assert (found.PatientWeight, found.PatientSize, found.PregnancyStatus) == (71.5, 0.8, 4)
    assert (found.PatientBirthDate, found.PatientSex) == ("19561209", "F")
    assert found.TimezoneOffsetFromUTC == "+0000"
    assert list(found.ReferencedStudySequence) == list(found.ReferencedPatientSequence) == []


def test_only_what_was_asked_for_comes_back(db):
    """Two keys in, two out; an empty sequence asks for the whole item, a nested key for itself; nothing is said of
    an attribute of which nothing is known (PS3.4 K.2.2.1.2: Type 3 may not be expected)."""
    identifier, code = Dataset(), Dataset()
    identifier.PatientID, identifier.SmokingStatus, code.CodeValue = None, None, None
    identifier.RequestedProcedureCodeSequence = [code]
    found = answer(planned(), identifier)
    assert {element.keyword for element in found} == {"PatientID", "RequestedProcedureCodeSequence"}
    assert [element.keyword for element in found.RequestedProcedureCodeSequence[0]] == ["CodeValue"]
    identifier.RequestedProcedureCodeSequence = []
    whole = answer(planned(), identifier).RequestedProcedureCodeSequence[0]
    assert [element.keyword for element in whole] == ["CodeValue", "CodingSchemeDesignator", "CodeMeaning"]


def test_an_item_asks_for_what_it_names(db):
    """Nothing of ours in it is nothing, not all; a group length is no attribute (PS3.5 7.2)."""
    for keyword in ("SmokingStatus", "PatientWeight"):
        identifier, item = Dataset(), Dataset()
        setattr(item, keyword, None)
        identifier.ScheduledProcedureStepSequence = [item]
        assert not answer(planned(), identifier).ScheduledProcedureStepSequence[0]
    identifier, item = Dataset(), Dataset()
    item.add_new(0x00400000, "UL", 8)
    identifier.ScheduledProcedureStepSequence = [item]
    assert "Modality" in answer(planned(), identifier).ScheduledProcedureStepSequence[0]


def test_nothing_is_said_of_the_default_repertoire(db):
    """It has no defined term (PS3.3 table C.12-2), and Specific Character Set is Type 1C: not there."""
    identifier = Dataset()
    identifier.SpecificCharacterSet, identifier.PatientName = None, None
    assert "SpecificCharacterSet" not in answer(planned(), identifier, "ISO_IR 6")
    assert answer(planned(), identifier, "ISO_IR 100").SpecificCharacterSet == "ISO_IR 100"


def test_an_empty_step_sequence_asks_for_all_of_it(db):
    """PS3.4 C.2.2.2.6: universal matching on the sequence."""
    identifier = Dataset()
    identifier.ScheduledProcedureStepSequence = []
    item = answer(planned(), identifier).ScheduledProcedureStepSequence[0]
    assert item.ScheduledProcedureStepID and item.Modality == "CT"


@pytest.mark.parametrize(
    ("name", "character_set", "expected"),
    [
        ("Müller^Jürgen", "ISO_IR 192", "Müller^Jürgen"),
        ("Müller^Jürgen", "ISO_IR 100", "Müller^Jürgen"),
        ("Müller^Jürgen", "ISO_IR 6", "Muller^Jurgen"),
        ("Dvořák^Ludvík", "ISO_IR 100", "Dvorak^Ludvik"),
        ("Łukasz^Żółć", "ISO_IR 100", "Lukasz^Zolc"),
        ("Sørensen^Æsa", "ISO_IR 6", "Sorensen^AEsa"),
        ("Strauß", "ISO_IR 6", "Strauss"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "ISO_IR 192", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("Yamada^Tarou=山田^太郎", "ISO_IR 100", "Yamada^Tarou"),
        ("山田^太郎", "ISO_IR 100", "??^??"),
        ("", "ISO_IR 192", "UNKNOWN"),
    ],
)
def test_names_fit_the_scanners_character_set(db, name, character_set, expected):
    """What the set can say is said exactly; accents go before letters do; a Type 1 name is never empty."""
    identifier = Dataset()
    identifier.PatientName = None
    found = answer(planned(name), identifier, character_set)
    read = encoding.decode(encoded(found, True), True)
    assert read.PatientName == expected
    assert read.get("SpecificCharacterSet") == (None if expected.isascii() else character_set)


def test_long_and_crooked_texts_fit_their_vr(db):
    """Line ends and backslashes would be other values; a location of SH has sixteen characters."""
    step = planned(transport_arrangements="wheel\\chair\r\nby lift")
    step.location = "the long corridor behind the lift"
    found = answer(step, whole_query())
    assert found.PatientTransportArrangements == "wheel/chair by lift"
    assert found.ScheduledProcedureStepSequence[0].ScheduledProcedureStepLocation == "the long corrido"


def test_identifiers_are_never_cut(db):
    """A cut text is still a text; a cut number is another number. A code of more than 16 characters is a Long Code
    Value (PS3.3 table 8.8-1)."""
    code = Code("A-VERY-LONG-PROTOCOL-CODE", "A-VERY-LONG-CODING-SCHEME", "head")
    step = making.step_request(station_ae_titles=("CT1",), protocol_codes=(code,), description="d" * 64)
    made = making.placed("N" * 64, step, patient=replace(GRACE, patient_name="n" * 70 + "^Grace"))
    one = entry.of_any(made.procedures.get().steps.get().pk)
    one.location, one.patient_id = "the long corridor behind the lift", "P" * 64
    cut = answer(one, whole_query())
    sent = answer(one, whole_query(), overlong=Station.Overlong.WHOLE)
    for found in (cut, sent):
        assert found.PlacerOrderNumberImagingServiceRequest == "N" * 64
        item = found.ScheduledProcedureStepSequence[0].ScheduledProtocolCodeSequence[0]
        assert "CodeValue" not in item
        assert (item.LongCodeValue, item.CodingSchemeDesignator) == (code.value, code.scheme)
    assert cut.PatientName == "n" * 64 and sent.PatientName == "n" * 70 + "^Grace"
    assert cut.ScheduledProcedureStepSequence[0].ScheduledProcedureStepLocation == "the long corrido"
    assert sent.ScheduledProcedureStepSequence[0].ScheduledProcedureStepLocation == one.location


def test_what_is_not_known_is_empty_or_absent(db):
    """Type 2 is there and empty, Types 1C and 3 are not there, Type 1 is never empty, whatever the row lacks."""
    one = planned("")
    for name in entry.Entry.__slots__:
        if isinstance(getattr(one, name), str) and name not in ("patient_id", "study_instance_uid", "status"):
            setattr(one, name, "")
    one.protocol_codes, one.patient_birth_date, one.other_ids = [], None, ()
    found = answer(one, whole_query())
    for target, table in ((found, keys.KEYS), (found.ScheduledProcedureStepSequence[0], keys.STEP_KEYS)):
        for key in table:
            if key.return_type == "1":
                assert target[key.keyword].value, key.keyword
            if key.return_type in ("2", "2C"):
                assert key.keyword in target, key.keyword
            if key.return_type == "3" and key.keyword in target:
                assert target[key.keyword].value, key.keyword
    assert "RequestedProcedureCodeSequence" not in found and "ReasonForTheRequestedProcedure" not in found


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20).map(
    lambda text: text.replace("\\", "").strip()
)
SINGLE_SETS = st.sampled_from(["ISO_IR 6", "ISO_IR 100", "ISO_IR 144", "ISO_IR 192", "GB18030"])


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(TEXTS, min_size=8, max_size=8),
    names=st.lists(st.lists(TEXTS, min_size=1, max_size=3), min_size=2, max_size=2),
    character_set=SINGLE_SETS,
    implicit=st.booleans(),
    numbers=st.tuples(st.decimals(0, 9999, places=2), st.integers(1, 4)),
)
def test_the_bytes_are_those_that_pydicom_writes(texts, names, character_set, implicit, numbers):
    """Read by pydicom and written by pydicom, an answer comes out the same."""
    one = _entry(texts, ["=".join(groups) for groups in names], *numbers)
    form = mwl_answer.Form(mwl_answer.everything(), implicit, character_set)
    data, _lost = mwl_answer.Writer(form).write(one)
    read_back = encoding.decode(data, implicit)
    assert encoded(read_back, implicit) == data
    assert "" not in {element.keyword for element in read_back.iterall()}


def _entry(texts: list[str], names: list[str], weight: Decimal, pregnancy: int) -> entry.Entry:
    """An entry that no database has seen."""
    facts = dict.fromkeys(entry.Entry.__slots__, "")
    facts |= dict(zip(("description", "reason", "comments", "allergies", "room", "telephone"), texts, strict=False))
    facts |= {"patient_name": names[0], "requesting_physician": names[1], "clinical_information": "\n".join(texts)}
    facts |= {"protocol_codes": [[text, "", text] for text in texts if text], "duration_minutes": 20}
    facts |= {"pk": 1, "start": making.NINE, "ordered_at": making.NINE, "local": making.NINE.replace(tzinfo=None)}
    facts |= {"patient_weight": weight, "pregnancy_status": pregnancy, "patient_size": None, "patient_pk": 1}
    facts |= {"patient_id": "P1", "study_instance_uid": "1.2.3", "patient_birth_date": making.NINE.date()}
    facts |= {"stations": (entry.AssignedStation("CT1", "", "CT"), entry.AssignedStation("CT2", "", "CT"))}
    facts |= {"other_ids": (entry.OtherID("P0", "X"),), "on_hold": False}
    return entry.Entry(**facts)


def test_an_answer_is_written_once(db, monkeypatch):
    """Until the entry is another."""
    one, written = planned(), []
    writer = mwl_answer.Writer(mwl_answer.Form(mwl_answer.everything(), True, "ISO_IR 192"))
    original = writer._encode
    monkeypatch.setattr(writer, "_encode", lambda entry: written.append(entry) or original(entry))
    assert writer.write(one) == writer.write(one)
    again = entry.of_any(one.pk)
    assert writer.write(again) == writer.write(one)
    assert [id(entry) for entry in written] == [id(one), id(again), id(one)]
