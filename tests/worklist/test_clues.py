"""What may lie behind a key that does not match. Covered: unknown AE titles, old identifiers, clocks, lost letters."""

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from ris.models import PatientIdentifier, ScheduledProcedureStep, Station, StationAlias
from tests import making
from worklist import clues, explaining, query_log
from worklist.models import TextLoss, WorklistQuery

pytestmark = pytest.mark.django_db

ASKED_AT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


@pytest.fixture
def step(site) -> ScheduledProcedureStep:
    """A CT on 23 November 2026 at nine, of Grace Hopper, P100."""
    return making.only_step(making.placed("4711", making.step_request(station_ae_titles=("CT1",))))


@pytest.mark.parametrize(
    ("asked", "unknown"),
    [("CT2", []), ("CT9", ["CT9"]), ("CT2\\CT9\\CT8", ["CT9", "CT8"]), ("CT_ONE", []), ("X*", []), ("", [])],
)
def test_ae_title_that_no_station_has(step, asked, unknown):
    """An alias is known, a pattern names nobody."""
    StationAlias.objects.create(station=Station.objects.get(ae_title="CT1"), ae_title="CT_ONE")
    found = clues.behind(step, "ScheduledStationAETitle", asked, None)
    assert found == [f"no station has the AE title {title}" for title in unknown]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("20261122", "that was over"),
        ("20261120-20261122", "that was over"),
        ("-20261122", "that was over"),
        ("20261124", "that was still to come"),
        ("20261124-", "that was still to come"),
        ("20261123", ""),
        ("20261123-20261130", ""),
        ("20261101-", ""),
        ("2026*", ""),
    ],
)
def test_a_clock(step, asked, sentence):
    """A day that was over or still to come when the scanner asked; of what it would ask nothing can be said."""
    found = clues.behind(step, "ScheduledProcedureStepStartDate", asked, ASKED_AT)
    assert len(found) == bool(sentence)
    assert all(f"on 20261123, {sentence}" in words for words in found)
    assert clues.behind(step, "ScheduledProcedureStepStartDate", asked, None) == []


@pytest.mark.parametrize("as_kept", [False, True], ids=["would-be", "logged"])
def test_an_identifier_from_before_a_merge(step, as_kept):
    """It is said that it is the patient's, and not which it is."""

    def behind(value):
        return clues.behind(step, "PatientID", query_log.hidden("PatientID", value) if as_kept else value, None)

    patient = step.requested_procedure.order.patient
    PatientIdentifier.objects.create(patient=patient, value="OLD7", issuer="SUNVIEW", is_retired=True)
    [sentence] = behind("OLD7")
    assert "merged" in sentence
    assert "OLD7" not in sentence
    assert behind("P999") == []


def test_the_verdict_has_them(step):
    """Beside the key that keeps it off, not beside one that matches; and letters that were lost in any case."""
    station = Station.objects.get(ae_title="CT1")
    TextLoss.objects.create(
        station=station, step=step, keyword="PatientName", character_set="ISO_IR 100", at=timezone.now()
    )
    [case] = explaining.cases_of(step.requested_procedure.order.accession_number)
    keys = (("ScheduledStationAETitle", "CT9"), ("ScheduledProcedureStepStartDate", "20261122"))
    logged = WorklistQuery(pk=1, status=0, last_at=ASKED_AT)
    found = explaining.verdict(case, station, {"CT1"}, explaining.Question(keys, logged))
    assert found.state == "OFF"
    assert found.notes == [
        "no station has the AE title CT9",
        "when it asked, on 20261123, that was over: look at the scanner's clock and the day on its search page",
        "PatientName was sent with letters missing: ISO_IR 100 lacks some",
    ]
    assert [len(explaining.verdict(case, station, {"CT1"}).notes)] == [1]
    other = explaining.Question((("ScheduledStationAETitle", "CT1\\CT9"),), logged)
    assert len(explaining.verdict(case, station, {"CT1"}, other).notes) == 1
