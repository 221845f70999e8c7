"""The read API. Covered: fields, each filter, paging, what is refused and how, tokens, query count, the schema."""

import io
from datetime import UTC, datetime

import pytest
from django.core.management import call_command
from django.test import Client

from ris.inputs import OrderKey, ReportNotice
from ris.services import images, orders, performing, reports, scheduling
from tests import making

LIST = "/api/v1/exams/"


@pytest.fixture
def api(site) -> Client:
    """A program with a token made on the command line."""
    out = io.StringIO()
    call_command("drf_create_token", "marie", stdout=out)
    token = out.getvalue().split()[2]
    return Client(headers={"Authorization": f"Token {token}"})


@pytest.fixture
def step(site):
    return making.only_step(making.placed("4711", making.step_request(station_ae_titles=("CT1",))))


def numbers(api, **parameters) -> list[str]:
    answer = api.get(LIST, parameters)
    assert answer.status_code == 200, answer.content
    return [exam["placer_order_number"] for exam in answer.json()["results"]]


def test_fields(api, step):
    """An exam has exactly the contract's fields and the few more that we promise."""
    exam = api.get(LIST).json()["results"][0]
    order = step.requested_procedure.order
    assert exam == {
        "id": step.requested_procedure_id,
        "url": f"http://testserver/api/v1/exams/{step.requested_procedure_id}/",
        "accession_number": order.accession_number,
        "placer_order_number": "4711",
        "filler_order_number": order.filler_order_number,
        "requested_procedure_id": step.requested_procedure.requested_procedure_id,
        "study_instance_uid": step.requested_procedure.study_instance_uid,
        "description": "CT head",
        "priority": order.priority,
        "status": "SCHEDULED",
        "patient": {
            "patient_id": "P100",
            "issuer_of_patient_id": "SUNVIEW",
            "patient_name": "Hopper^Grace",
            "patient_birth_date": "1956-12-09",
            "patient_sex": "F",
        },
        "steps": [
            {
                "scheduled_procedure_step_id": step.scheduled_procedure_step_id,
                "status": "SCHEDULED",
                "modality": "CT",
                "stations": ["CT1"],
                "start": "2026-11-23T09:00:00Z",
            }
        ],
        "images": {"expected": 0, "arrived": 0},
        "report": {"status": "", "changed_at": None},
    }
    assert api.get(exam["url"]).json() == exam


def test_report(api, step):
    """Status and time of the report, also of one that does not make the exam REPORTED."""
    at = datetime(2026, 11, 24, 10, 15, tzinfo=UTC)
    key = OrderKey(sender="HIS|SUNVIEW", accession_number=step.requested_procedure.order.accession_number)
    reports.file(ReportNotice(order=key, status="PRELIMINARY", at=at), making.HIS)
    exam = api.get("/api/v1/exams/").json()["results"][0]
    assert (exam["status"], exam["report"]["status"]) == ("SCHEDULED", "PRELIMINARY")
    assert datetime.fromisoformat(exam["report"]["changed_at"]) == at


def test_images(api, step):
    """Expected images are what the final MPPS list; arrived are those that are here."""
    performing.start(making.begun("1.2.3", step), making.SCANNER)
    performing.update(making.ended("1.2.3", images=3), making.SCANNER)
    images.record(making.image(step, "1.2.3.1.1"), making.SCANNER)
    exam = api.get(LIST).json()["results"][0]
    assert (exam["status"], exam["images"]) == ("PERFORMED", {"expected": 3, "arrived": 1})


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, ["4711", "4712"]),
        ({"placer_order_number": "4711"}, ["4711"]),
        ({"placer_order_number": "471"}, []),
        ({"patient_id": "P100"}, ["4711", "4712"]),
        ({"patient_id": "P999"}, []),
        ({"status": "SCHEDULED"}, ["4711"]),
        ({"status": "ORDERED"}, ["4712"]),
        ({"status": "IMAGES COMPLETE"}, []),
        ({"date": "2026-11-23"}, ["4711"]),
        ({"date": "2026-11-22"}, []),
        ({"modality": "CT"}, ["4711"]),
        ({"modality": "MR", "status": "ORDERED"}, ["4712"]),
        ({"modality": "CT", "status": "ORDERED"}, []),
        ({"limit": "1"}, ["4711"]),
        ({"limit": "1", "offset": "1"}, ["4712"]),
        ({"offset": "99999999999999999999999"}, []),
    ],
)
def test_filters(api, step, parameters, expected):
    """Each parameter narrows the list, and all of them together."""
    making.placed("4712", making.step_request(modality="MR", start=None))
    assert numbers(api, **parameters) == expected


def test_accession_number(api, step):
    """The accession number finds its exam."""
    making.placed("4712")
    assert numbers(api, accession_number=step.requested_procedure.order.accession_number) == ["4711"]


def test_day_is_the_sites(api):
    """Half past midnight in a Dublin summer is 23:30 UTC of the day before: the site's day counts."""
    making.placed("4720", making.step_request(start=making.NINE.replace(month=7, day=9, hour=23, minute=30)))
    assert numbers(api, date="2026-07-10") == ["4720"]
    assert numbers(api, date="2026-07-09") == []


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"acession_number": "1"}, "acession_number"),
        ({"status": "DONE"}, "status"),
        ({"date": "2026-02-30"}, "date"),
        ({"date": "today"}, "date"),
        ({"limit": "all"}, "limit"),
        ({"offset": "-1"}, "offset"),
        ({"patient_id": "a\x00"}, "patient_id"),
    ],
)
def test_refused_parameters(api, parameters, named):
    """What cannot be asked is refused with 400 and the parameter's name."""
    answer = api.get(LIST, parameters)
    assert answer.status_code == 400
    assert list(answer.json()) == [named]


def test_unknown_parameter_of_one_exam(api, step):
    """Also an exam's own address takes no parameter that means nothing."""
    assert api.get(f"{LIST}{step.requested_procedure_id}/", {"status": "SCHEDULED"}).status_code == 400


@pytest.mark.parametrize("address", [LIST, f"{LIST}1/", f"{LIST}1/history/", f"{LIST}1/worklist/"])
def test_without_token(client, site, address):
    """Without a token, or with a wrong one, 401 and no redirect to the login page."""
    assert client.get(address).status_code == 401
    assert client.get(address, headers={"Authorization": "Token no"}).status_code == 401


@pytest.mark.parametrize("tail", ["", "history/", "worklist/"])
def test_not_here(api, tail):
    """404 for no exam, also far beyond what the database can count, and for what is no number."""
    for pk in ("999", "99999999999999999999999", "x"):
        assert api.get(f"{LIST}{pk}/{tail}").status_code == 404


def test_read_only(api, step):
    """Nothing can be written."""
    for method in ("post", "put", "patch", "delete"):
        assert getattr(api, method)(f"{LIST}{step.requested_procedure_id}/").status_code == 405


def test_history(api, step, desk):
    """Who, when, old and new status, from which message and why; the oldest first."""
    orders.cancel_exam(step.requested_procedure_id, desk, "twice ordered")
    first, *_rest, last = api.get(f"{LIST}{step.requested_procedure_id}/history/").json()
    assert (first["actor_kind"], first["source_message"]) == ("HL7", "HL7 MSH-10 1")
    assert (last["verb"], last["old_status"], last["new_status"]) == ("cancel", "SCHEDULED", "CANCELED")
    assert (last["old_exam_status"], last["exam_status"], last["reason"]) == ("SCHEDULED", "CANCELED", "twice ordered")
    assert (last["actor_name"], last["scheduled_procedure_step_id"]) == ("molly", step.scheduled_procedure_step_id)


def test_worklist(api, step, desk):
    """Each active station: on its worklist now, or what keeps it off."""
    address = f"{LIST}{step.requested_procedure_id}/worklist/"
    answers = {answer["station"]: answer for answer in api.get(address).json()}
    assert set(answers) == {"XRAY1", "XRAY2", "CT1", "CT2", "MR1", "US1", "MG1"}
    assert answers["CT1"]["on_worklist"] is True
    assert answers["CT2"]["steps"][0]["obstacles"] == ["the step is assigned to CT1"]
    scheduling.hold(step.pk, desk)
    answers = {answer["station"]: answer for answer in api.get(address).json()}
    assert answers["CT1"]["on_worklist"] is False
    assert answers["CT1"]["steps"][0]["obstacles"] == ["the step is on hold"]


@pytest.mark.parametrize("count", [1, 100])
def test_cost_does_not_grow(api, django_assert_num_queries, count):
    """A page of a hundred exams costs as many queries as a page of one."""
    for number in range(count):
        making.placed(f"N{number}")
    with django_assert_num_queries(5):  # token, count, exams with patients and images, steps with rooms, stations
        assert len(numbers(api)) == count


def test_schema_is_valid(capsys):
    """The OpenAPI document is valid and made without a warning."""
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=io.StringIO())


def test_schema_and_docs_are_served(client, db):
    """Schema and its page are there for whoever connects a program; they hold no data."""
    assert b"/api/v1/exams/" in client.get("/api/v1/schema/").content
    page = client.get("/api/v1/docs/").content.decode()
    assert "drf_spectacular_sidecar" in page
    assert "//cdn" not in page
