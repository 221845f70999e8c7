"""Messages carried out together: the same rows as one by one, in fewer statements, and nothing done by halves.

Together is done on PostgreSQL only; on SQLite these tests say that a group is what its messages are.
"""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model

from hl7.exchange import receive_all
from hl7.framing import Frame
from hl7.models import InboundMessage, Mention
from ris.models import (
    Order,
    Patient,
    PatientIdentifier,
    RequestedProcedure,
    ScheduledProcedureStep,
    Tombstone,
    Visit,
    WorkflowEvent,
)
from ris.services import together
from tests.hl7.conftest import message, order

on_postgresql = connection.vendor == "postgresql"

WRITTEN: tuple[type[Model], ...] = (
    Patient,
    PatientIdentifier,
    Visit,
    Order,
    RequestedProcedure,
    ScheduledProcedureStep,
    ScheduledProcedureStep.stations.through,
    WorkflowEvent,
    InboundMessage,
    InboundMessage.orders.through,
    Mention,
    Tombstone,
)
#: Times at which a row was written; they are another each time.
_MOMENTS = ("created_at", "updated_at", "received_at", "at")
_OURS = re.compile(r"\b(SV|RP|SPS)(\d{8})")
_ANSWER_HEAD = re.compile(rb"^MSH[^\r]*")


def codes(answers: Sequence[bytes | None]) -> list[str]:
    return [re.findall(rb"\rMSA\|(\w\w)", answer or b"")[0].decode() for answer in answers]


def send(*raws: bytes) -> list[bytes | None]:
    """All at the same time, as a worker is given them."""
    return receive_all([(Frame(raw), "127.0.0.1", 0) for raw in raws])


def tables() -> dict[str, list[dict[str, Any]]]:
    """Every row, with keys as the row's place in its table."""
    found = {model: list(model._default_manager.order_by("pk")) for model in WRITTEN}
    places = {model: {row.pk: place for place, row in enumerate(rows, 1)} for model, rows in found.items()}
    return {model.__name__: [_values(row, places) for row in rows] for model, rows in found.items()}


def _values(row: Model, places: dict[type[Model], dict[int, int]]) -> dict[str, Any]:
    values = {}
    for column in row._meta.concrete_fields:
        value = getattr(row, column.attname)
        of = column.related_model or (type(row) if column.primary_key else None)
        if value is not None and of in places:
            value = places[of][value]
        elif isinstance(value, bytes | memoryview):
            value = _ours(_ANSWER_HEAD.sub(b"MSH", bytes(value)).decode(), places)
        elif isinstance(value, str):
            value = _ours(value, places)
        values[column.name] = value if column.name not in _MOMENTS else None
    return values


def _ours(text: str, places: dict[type[Model], dict[int, int]]) -> str:
    """Our own numbers, with the place for the key that they are made of."""
    models = {"SV": Order, "RP": Order, "SPS": RequestedProcedure}
    return _OURS.sub(lambda found: f"{found[1]} of {places[models[found[1]]].get(int(found[2]))}", text)


def visit(number: str, placer: str, patient: str, pid: str = "", **msh: str) -> bytes:
    """An order with a visit, further identifiers, notes and measures."""
    return message(
        f"PID|1||{patient}^^^ADT^MR~84{patient}^^^PPS^PPSN||Sample^Grace{pid}||19800229|F|||1 High Street^^Dublin",
        "NTE|1|P|Needs an interpreter",
        f"PV1|1|O|MED^WARD4A^BED06||||^Referrer^Rita|||||||||||{number}^^^ADT",
        "AL1|1|DA|IODINE^Iodinated contrast",
        f"ORC|NW|{placer}^HIS||||||||20261122080000",
        "TQ1|1||||||20261123090000||S",
        f"OBR|1|{placer}^HIS||CTHEAD^CT head^SUNVIEW|||||||||normal|||^Orderer^Olga||A{placer}||||||CT",
        "NTE|1|P|Before noon",
        "OBX|1|NM|29463-7^Body weight^LN||68.5|kg|||||F",
        f"ZDS|1.2.3.{int(placer)}^^Application^DICOM",
        **msh,
    )


#: New orders of all kinds, of new patients and of patients whom an earlier one has made.
NEW = (
    visit("V1", "1", "GRACE1", control_id="N1"),
    visit("V1", "2", "GRACE1", control_id="N2", at="20261122080500"),
    visit("V2", "3", "GRACE1", "^Ann", control_id="N3", at="20261122081000"),
    order(placer="4", patient="ADA", control_id="N4"),
    order(placer="5", patient="84GRACE1", accession="ACC5", control_id="N5"),
    order(placer="6", patient="ADA", start="", control_id="N6"),
    order(placer="7", patient="MAY", modality="", obr="UNKNOWN^?", control_id="N7"),
    message(
        "PID|||ROSE^^^ADT||Sample^Rose",
        "ORC|NW||F8",
        "OBR|1|||XWRIST^X-ray wrist^L",
        "IPC|A8|R8|1.2.8|S81|DX|P1^Left^L",
        "IPC|A8|R8|1.2.8|S82|DX|P2^Right^L",
        "ORC|RO|9^HIS",
        "OBR|1|9^HIS||XWRIST^X-ray wrist^L||||||||||||||||||||DX|||20261123100000",
        "OBR|2|9^HIS||MRBRAIN^MR^SUNVIEW||||||||||||||||||||MR",
        control_id="N8",
    ),
    order(placer="10", patient="KNOWN", control_id="N10"),
)
EARLIER = order(placer="P0", patient="KNOWN", control_id="N0", at="20261121080000")


@pytest.fixture
def statements():
    """Every statement of the test from now on."""
    found: list[str] = []

    def keep(execute, sql, *rest):
        found.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(keep):
        yield found


def emptied() -> None:
    for model in reversed(WRITTEN):
        model._default_manager.all()._raw_delete(connection.alias)


@pytest.mark.django_db
def test_together_gives_the_same_rows_as_one_by_one(feed, statements, monkeypatch):
    """Each table row for row, answers included; a table's rows in one statement."""
    with monkeypatch.context() as patch:
        patch.setattr(together, "is_possible", lambda: False)
        assert codes(send(EARLIER, *NEW)) == ["AA"] * (len(NEW) + 1)
        one_by_one = tables()
        emptied()
        send(EARLIER)
    statements.clear()
    assert codes(send(*NEW)) == ["AA"] * len(NEW)
    assert tables() == one_by_one
    written = [sql.split('"')[1] for sql in statements if sql.startswith("INSERT")]
    assert len(written) == len(set(written)) or not on_postgresql


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ([order(placer="1"), order("CA", "1"), order(placer="2")], ["AA", "AA", "AA"]),
        ([order(placer="1"), order(placer="2", start="20250230"), order(placer="3")], ["AA", "AE", "AA"]),
        ([order(placer="1"), order(placer="1", at="20261122090000")], ["AA", "AA"]),
        ([order(placer="1"), order(placer="P0", patient="KNOWN"), order(placer="2")], ["AA", "AA", "AA"]),
        ([order(placer="1"), order(placer="P0", patient="OTHER"), order(placer="2")], ["AA", "AE", "AA"]),
        ([order(placer="1", accession="A"), order(placer="2", patient="X", accession="A")], ["AA", "AE"]),
        ([order(placer="1"), order(placer="BURIED")], ["AA", "AA"]),
        ([order(placer="1", control_id="S"), order(placer="2", control_id="S")], ["AA", "AR"]),
        ([order(placer="1", control_id="S")] * 2, ["AA", "AA"]),
        ([order(placer="1"), EARLIER], ["AA", "AA"]),
        ([order(placer="1"), message("PID|||ADA", kind="ADT^A08"), order(placer="2")], ["AA", "AA", "AA"]),
        ([order(placer="1"), order("XO", "NEVER"), message("PID|||ADA", kind="BAR^P01")], ["AA", "AA", "AR"]),
    ],
)
def test_what_cannot_be_done_together_ends_as_one_by_one(feed, monkeypatch, group, expected):
    """Cancellations, refusals, repeats, known or buried orders among new ones: the same rows and the same answers."""
    ends = []
    for possible in (False, True):
        with monkeypatch.context() as patch:
            if not possible:
                patch.setattr(together, "is_possible", lambda: False)
            send(EARLIER, order("CA", "BURIED", control_id="BURIED"))
            ends.append((codes(send(*group)), tables()))
            emptied()
    assert ends[0][0] == expected
    assert ends[1] == ends[0]


@pytest.mark.django_db
def test_a_fault_in_the_middle_of_a_group_leaves_nothing_of_it(feed, monkeypatch):
    """The message at fault is kept with AE 207, the others are carried out."""
    accession_number = Order._meta.get_field("accession_number")

    def fault(value, *rest):
        if value == "BAD":
            raise ZeroDivisionError
        return value

    monkeypatch.setattr(accession_number, "get_prep_value", fault)
    answers = send(order(placer="1"), order(placer="2", accession="BAD"), order(placer="3"))
    assert codes(answers) == ["AA", "AE", "AA"]
    assert Order.objects.count() == 2 and InboundMessage.objects.filter(outcome="ERROR").count() == 1


@pytest.mark.django_db(transaction=True)
def test_groups_at_the_same_time_wait_for_each_other_in_one_order(feed):
    """The same orders and patients in opposite order, on several connections: no deadlock, each once."""
    raws = [order(placer=f"P{number}", patient=f"PAT{number % 5}", control_id=f"G{number}") for number in range(20)]

    def group(number: int) -> list[str]:
        try:
            return codes(send(*(raws if number % 2 else reversed(raws))))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(group, range(4))) == [["AA"] * 20] * 4
    assert Order.objects.count() == InboundMessage.objects.count() == 20
    assert Patient.objects.count() == 5
    assert WorkflowEvent.objects.filter(verb="schedule").count() == 20
