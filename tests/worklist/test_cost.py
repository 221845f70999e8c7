"""An answer costs what it returns, not what is stored: SQL statements at ten entries and at two thousand."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from ris.models import ScheduledProcedureStep, Station
from tests.worklist.test_encoding import encoded
from tests.worklist.test_matching import query
from tests.worklist.test_mwl import copies
from worklist import mwl
from worklist.dimse import PENDING, Request
from worklist.stations import profiles
from worklist.view import view

pytestmark = pytest.mark.django_db(transaction=True)
QUESTIONS = {
    "everything": {"Modality": "CT"},
    "one entry": {"ScheduledProcedureStepID": "N7"},
    "nothing": {"ScheduledProcedureStepID": "NOSUCH"},
}


def asked(**keys: str) -> tuple[int, int]:
    """Entries that the query is answered with, and the statements that took."""
    data = encoded(query(**keys), True)
    request = Request(verb="C-FIND", calling_ae_title="CT1", station=profiles()["CT1"], data=data)
    with CaptureQueriesContext(connection) as statements:
        answers = list(mwl.find(request))
    return sum(answer.status == PENDING for answer in answers), len(statements)


def costs() -> dict[str, tuple[int, int]]:
    """Of each question while nothing changes, and of everything after one step was changed."""
    view.refresh()
    found = {name: asked(**keys) for name, keys in QUESTIONS.items()}
    ScheduledProcedureStep.objects.filter(scheduled_procedure_step_id="N7").update(description="CT neck")
    return found | {"after a change": asked(**QUESTIONS["everything"])}


@pytest.mark.parametrize("count", [10, 2_000])
def test_statements_of_a_query(site, count):
    """One to see that nothing has changed, whatever is asked; few more to read what has."""
    Station.objects.update(most_answers=5_000)
    copies(count)
    assert costs() == {
        "everything": (count, 1),
        "one entry": (1, 1),
        "nothing": (0, 1),
        "after a change": (count, 4),
    }
