"""What a station's profile may say. Covered: character sets alone and together, keys to fill in, the admin's answer."""

import pytest
from django.core.exceptions import ValidationError
from pydicom.charset import python_encoding

from ris.models import Station, profile
from worklist import clock, keys
from worklist.repertoire import CODE_SETS, repertoire


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("ISO_IR 192", ""),
        ("ISO_IR 6", ""),
        ("GB18030", ""),
        ("ISO 2022 IR 87", "cannot be the first"),
        ("\\ISO 2022 IR 87\\ISO 2022 IR 87", "stands twice"),
        ("\\ISO 2022 IR 87", ""),
        ("ISO 2022 IR 13\\ISO 2022 IR 87\\ISO 2022 IR 159", ""),
        ("ISO_IR 203", "is no defined term"),
        ("UTF-8", "UTF-8 is no defined term"),
        ("ISO-IR 100", "is no defined term"),
        ("iso_ir 100", "is no defined term"),
        ("", "is no defined term"),
        ("ISO_IR 192\\ISO 2022 IR 87", "ISO_IR 192 cannot stand beside others"),
        ("ISO 2022 IR 6\\", "An empty value cannot stand beside others"),
    ],
)
def test_character_sets(value, words):
    """Defined terms only, spelt as the standard does."""
    fault = profile.character_set_fault(value)
    assert words in fault
    assert bool(words) == bool(fault)


@pytest.mark.parametrize("term", sorted(profile.ALONE | profile.EXTENDING))
def test_every_term_can_be_written(term):
    """What the profile allows is what the worklist can answer in."""
    assert repertoire(term).encode("Hopper^Grace") == b"Hopper^Grace"
    assert term in python_encoding
    if term in profile.EXTENDING - {"ISO 2022 IR 6"}:
        assert term in CODE_SETS


@pytest.mark.parametrize(
    ("filled", "words"),
    [
        ({}, ""),
        ({"Modality": "CT", "ScheduledStationAETitle": "CT1", "ScheduledProcedureStepStartDate": "TODAY"}, ""),
        ({"Modality": "CT\\MR", "ScheduledProcedureStepStartTime": "0700-1800"}, ""),
        ({"ScheduledProcedureStepStartDate": "20261124-"}, ""),
        ({"PatientID": "P1"}, "PatientID cannot be filled in"),
        ({"Modalty": "CT"}, "Modalty cannot be filled in"),
        ({"Modality": 1}, "Modality cannot be 1"),
        ({"Modality": ""}, "Modality cannot be"),
        ({"ScheduledProcedureStepStartDate": "tomorrow"}, "StartDate cannot be tomorrow"),
        ({"ScheduledProcedureStepStartTime": "7:00"}, "StartTime cannot be 7:00"),
        (["Modality"], "Keys are written as"),
        (None, "Keys are written as"),
    ],
)
def test_keys_to_fill_in(filled, words):
    """Keys of the worklist that name nobody, each with a value that it may have."""
    fault = profile.default_keys_fault(filled)
    assert words in fault
    assert bool(words) == bool(fault)


def test_what_can_be_filled_in_is_matched():
    """Each is a key of Table K.6-1 by which entries are matched, and what the date allows the clock can read."""
    for keyword in profile.FILLABLE:
        key = keys.STEP_BY_KEYWORD.get(keyword) or keys.BY_KEYWORD[keyword]
        assert key.match is not keys.Match.NONE
    for dates in ("20261124", "20261124-", "-20261124", "20261124-20261125"):
        assert profile.FILLABLE["ScheduledProcedureStepStartDate"].fullmatch(dates)
        clock.window(dates, "")


def test_the_station_says_so(site):
    """Each fault at its field; a station as the site has it is in order."""
    station = Station.objects.get(ae_title="CT1")
    station.full_clean()
    station.character_set, station.default_keys = "UTF-8", {"PatientID": "P1"}
    with pytest.raises(ValidationError) as refused:
        station.full_clean()
    assert set(refused.value.message_dict) == {"character_set", "default_keys"}
