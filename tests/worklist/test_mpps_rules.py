"""Table F.7.2-1, every cell: what is found when an attribute is left out, empty, or there when it must not be."""

from collections.abc import Iterator

import pytest
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from worklist import mpps_rules
from worklist.mpps_report import to_json
from worklist.mpps_rules import Defect, Kind
from worklist.mpps_table import BY_KEYWORD, NOT_ALLOWED, RULES, Rule
from worklist.status import Failure

Path = tuple[Rule, ...]


def value_of(rule: Rule):
    """A value that is allowed."""
    if rule.vr == "SQ":
        return [filled(rule.items)]
    if rule.vr == "UI":
        return "1.2.3"
    if rule.keyword == "PerformedProcedureStepStatus":
        return "IN PROGRESS"
    return "20261123" if rule.vr == "DA" else "101500" if rule.vr == "TM" else "A"


def filled(rules) -> Dataset:
    dataset = Dataset()
    for rule in rules:
        dataset.add_new(rule.tag, rule.vr, value_of(rule))
    dataset.pop("SpecificCharacterSet", None)
    return dataset


def paths(rules=RULES, before: Path = ()) -> Iterator[Path]:
    """Each row of the table with the sequences that it is in."""
    for rule in rules:
        yield (*before, rule)
        yield from paths(rule.items, (*before, rule))


def settable(rules=RULES) -> Iterator[Path]:
    return (path for path in paths(rules) if path[0].set != NOT_ALLOWED)


def named(path: Path) -> str:
    return ".".join(rule.keyword for rule in path)


def holder(dataset: Dataset, path: Path) -> Dataset:
    """The item that holds the last attribute of the path."""
    for rule in path[:-1]:
        dataset = dataset[rule.tag].value[0]
    return dataset


def without(dataset: Dataset, path: Path) -> Dataset:
    del holder(dataset, path)[path[-1].tag]
    return dataset


def emptied(dataset: Dataset, path: Path) -> Dataset:
    holder(dataset, path)[path[-1].tag].value = [] if path[-1].vr == "SQ" else ""
    return dataset


def modification(status: str = "IN PROGRESS") -> Dataset:
    dataset = filled([rule for rule in RULES if rule.set != NOT_ALLOWED])
    dataset.PerformedProcedureStepStatus = status
    return dataset


def stored() -> dict:
    return to_json(filled(RULES))


def expected(path: Path, kind: Kind, type_: str) -> list[Defect]:
    """What a row's Type asks: 1 to be there with a value, 2 to be there, 3 and 1C nothing."""
    rule = path[-1]
    if type_ == "1" or (type_ == "2" and kind is Kind.MISSING):
        return [Defect(rule.keyword, kind, f"Type {type_}", rule.needed and type_ == "1")]
    return []


@pytest.mark.parametrize("path", list(paths()), ids=named)
def test_create(path):
    """Column N-CREATE, attribute by attribute: left out, and empty."""
    rule = path[-1]
    if rule.keyword == "SpecificCharacterSet":
        return  # Type 1C: needs the bytes, see test_mpps_strictness.py
    type_ = rule.create.partition("/")[0]
    assert mpps_rules.create_defects(without(filled(RULES), path)) == expected(path, Kind.MISSING, type_)
    assert mpps_rules.create_defects(emptied(filled(RULES), path)) == expected(path, Kind.EMPTY, type_)


@pytest.mark.parametrize("path", [path for path in settable() if len(path) > 1], ids=named)
def test_items_of_a_set(path):
    """Column N-SET inside sequences, which are set whole."""
    type_ = path[-1].set.partition("/")[0]
    found = mpps_rules.set_defects(without(modification(), path), stored())
    assert found == expected(path, Kind.MISSING, type_)
    assert mpps_rules.set_defects(emptied(modification(), path), stored()) == expected(path, Kind.EMPTY, type_)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.keyword)
def test_set(rule):
    """Column N-SET: not allowed; or it may be there alone, be left out, and only a status must have a value."""
    alone = filled([rule])
    if rule.set == NOT_ALLOWED:
        assert mpps_rules.set_defects(alone, stored()) == [Defect(rule.keyword, Kind.NOT_ALLOWED, "N-SET")]
        mpps_rules.drop_not_settable(alone)
        assert not alone
        return
    assert mpps_rules.set_defects(alone, stored()) == []
    if rule.keyword == "SpecificCharacterSet":
        return
    assert mpps_rules.set_defects(without(modification(), (rule,)), stored()) == []
    is_status = rule.keyword == "PerformedProcedureStepStatus"
    found = mpps_rules.set_defects(emptied(modification(), (rule,)), stored())
    assert found == ([Defect(rule.keyword, Kind.EMPTY, "Type 1", True)] if is_status else [])


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.set != NOT_ALLOWED], ids=lambda rule: rule.keyword)
def test_an_attribute_is_created_before_it_is_set(rule):
    """Note 5: a discontinuation reason, for one, must be there with zero length at N-CREATE."""
    before = stored()
    before.pop(f"{rule.tag:08X}", None)
    found = mpps_rules.set_defects(filled([rule]), before)
    is_about_the_message = rule.keyword == "SpecificCharacterSet"
    assert found == ([] if is_about_the_message else [Defect(rule.keyword, Kind.NOT_CREATED, "Note 5")])
    before[f"{rule.tag:08X}"] = {"vr": rule.vr}
    assert mpps_rules.set_defects(filled([rule]), before) == []


@pytest.mark.parametrize("status", ["COMPLETED", "DISCONTINUED"])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.keyword)
def test_final_state(rule, status):
    """Column final state: of all messages together; series may be missing where nothing was acquired."""
    if rule.set == NOT_ALLOWED or rule.keyword in ("SpecificCharacterSet", "PerformedProcedureStepStatus"):
        return
    before = stored()
    before[f"{rule.tag:08X}"] = {"vr": rule.vr}
    needed = rule.keyword != "PerformedSeriesSequence" or status == "COMPLETED"
    for change, kind in ((without, Kind.MISSING), (emptied, Kind.EMPTY)):
        found = mpps_rules.set_defects(change(modification(status), (rule,)), before)
        wanted = [Defect(rule.keyword, kind, "final state, Type 1", needed)] if rule.final == "1" else []
        assert found == wanted, kind
    assert mpps_rules.set_defects(without(modification(status), (rule,)), stored()) == []


def test_what_is_not_in_the_table():
    """Type 3, private attributes too: taken if they were created."""
    dataset = filled(RULES)
    dataset.PatientWeight = "70"
    dataset.add_new(0x00091001, "LO", "private")
    assert mpps_rules.create_defects(dataset) == []
    changed = Dataset()
    changed.PatientWeight, changed.PatientSize = "71", "1.8"
    assert [str(defect) for defect in mpps_rules.set_defects(changed, to_json(dataset))] == [
        "PatientSize not created before it is set (Note 5)"
    ]


@pytest.mark.parametrize(
    ("keyword", "value", "why"),
    [
        ("PerformedProcedureStepStatus", "COMPLETED", "must be IN PROGRESS"),
        ("PerformedProcedureStepStartDate", "20251301", "a date that does not exist"),
        ("PerformedProcedureStepStartTime", "25", "hour must be in 0..23"),
        ("PerformedProcedureStepID", "1" * 17, "is longer than 16 characters"),
        ("PatientName", "A" * 195, "is longer than 194 characters"),
        ("TimezoneOffsetFromUTC", "Europe", "not an offset of the form &ZZXX"),
    ],
)
def test_values(keyword, value, why):
    """What cannot be kept as it is, is refused of every station."""
    dataset = filled(RULES)
    setattr(dataset, keyword, value)
    (defect,) = mpps_rules.create_defects(dataset)
    assert (defect.kind, defect.needed, defect.keyword) == (Kind.INVALID, True, keyword)
    assert defect.why.startswith(why)


@pytest.mark.parametrize("path", [path for path in paths() if path[-1].vr == "UI"], ids=named)
def test_uids(path):
    """Every UID of the table."""
    dataset = filled(RULES)
    holder(dataset, path)[path[-1].tag].value = "1.02.3"
    assert mpps_rules.create_defects(dataset) == [Defect(path[-1].keyword, Kind.INVALID, "is no UID", True)]


def test_what_is_no_sequence():
    """A text in the place of a sequence and the other way round, which explicit VR makes possible."""
    dataset = filled(RULES)
    dataset.add_new(tag_for_keyword("ScheduledStepAttributesSequence"), "LO", "hello")
    dataset.add_new(tag_for_keyword("StudyID"), "SQ", [Dataset()])
    assert {str(defect) for defect in mpps_rules.create_defects(dataset)} == {
        "ScheduledStepAttributesSequence invalid (is no sequence)",
        "StudyID invalid (is a sequence)",
    }


def test_the_refusal_names_every_attribute_of_the_gravest_kind():
    """Missing goes before empty; the status is of the kind; the comment is the standard's 64 characters at most."""
    defects = [
        Defect("Modality", Kind.EMPTY, "Type 1", True),
        Defect("StudyID", Kind.MISSING, "Type 2"),
        Defect("PatientID", Kind.MISSING, "Type 2"),
        Defect("PatientID", Kind.MISSING, "Type 2"),
    ]
    failure = mpps_rules.failure(defects)
    assert (failure.status, failure.keywords, str(failure)) == (
        0x0120,
        ("StudyID", "PatientID"),
        "Missing: StudyID, PatientID",
    )
    assert mpps_rules.failure(defects[:1]).status == 0x0121
    assert mpps_rules.failure([Defect("Modality", Kind.NOT_ALLOWED, "N-SET")]).status == 0x0105


def test_the_words_that_are_counted():
    """As the station's page shows them."""
    (defect,) = mpps_rules.create_defects(emptied(filled(RULES), (BY_KEYWORD["PerformedProcedureStepID"],)))
    assert str(defect) == "PerformedProcedureStepID empty (Type 1)"


def test_an_instance_uid():
    """0117H unless it is a UID."""
    for uid in ("", "1.2.abc", "1" * 65):
        with pytest.raises(Failure) as info:
            mpps_rules.check_instance_uid(uid)
        assert info.value.status == 0x0117
    mpps_rules.check_instance_uid("1.2.3")
