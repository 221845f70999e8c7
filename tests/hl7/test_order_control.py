"""Order control beyond NW, XO and CA: every row of the table, and messages that overtake each other.

Covered: HD, RL, RP and RO, PA and CH, SN, NA, empty ORC-1, unknown codes by policy; cancellations that are refused or
come first; changes that come first; the explicit null. The property: any permutation ends in the same state.
"""

from collections.abc import Callable
from itertools import permutations

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hl7.control import ANY, CONTROL, CONTROL_ROWS, Action, action_of
from hl7.orders import _ACTIONS
from ris import selectors
from ris.models import Order, Patient, RequestedProcedure, ScheduledProcedureStep, Tombstone, WorkflowEvent
from tests.hl7.conftest import answer_to, message, order, verdict
from tests.hl7.test_orders import accepted, start_exam

PID = "PID|||GRACE1^^^ADT^MR||Sample^Grace||19800229|F"

pytestmark = pytest.mark.django_db


def said(control: str, placer: str = "P100", *, status: str = "", at: str = "20250122080000", **parts: str) -> bytes:
    """An order message said at a time: ORC-9."""
    return order(control, placer, orc=f"|||{status}||||{at}", **parts)


def test_each_pair_stands_once():
    """No pair of ORC-1 and ORC-5 is in two rows, and every action is one that can be done."""
    assert len(CONTROL) == sum(len(controls) * len(statuses) for controls, statuses, _action in CONTROL_ROWS)
    assert set(_ACTIONS) == set(Action) == set(CONTROL.values())


@pytest.mark.parametrize(
    ("control", "status", "action"),
    [
        ("NW", "IP", Action.PLACE),
        ("NW", "CM", Action.STATUS),
        ("NW", "CA", Action.CANCEL),
        ("NW", "HD", Action.PLACE_HELD),
        ("RO", "RP", Action.PLACE),
        ("XO", "CA", Action.CANCEL),
        ("XO", "R", Action.CHANGE),
        ("SC", "CM", Action.STATUS),
        ("SC", "HD", Action.HOLD),
        ("", "CA", Action.CANCEL),
        ("", "IP", Action.STATUS),
        ("KN", "", None),
    ],
)
def test_what_a_pair_does(control, status, action):
    """The pair's own row wins over that of any ORC-5; an empty ORC-1 is read as a status."""
    assert action_of(control, status) == action
    assert CONTROL["NW", ANY] is Action.PLACE


def test_hold_and_release(feed):
    """HD takes the exam off the worklists, RL puts it back; a repeat changes nothing."""
    accepted(order())
    for _repeat in range(2):
        accepted(message(PID, "ORC|HD|P100", "NTE|1||Insurance"))
    assert RequestedProcedure.objects.get().status == "ON HOLD" and not selectors.worklist_steps().exists()
    assert WorkflowEvent.objects.get(verb="hold").reason == "Insurance"
    accepted(message("ORC|RL|P100"))
    assert selectors.worklist_steps().count() == 1


def test_an_order_that_comes_held(feed):
    """NW with ORC-5 HD is placed and on no worklist until RL; one that was canceled ahead stays canceled."""
    accepted(said("NW", status="HD"))
    assert RequestedProcedure.objects.get().status == "ON HOLD" and not selectors.worklist_steps().exists()
    accepted(message("ORC|RL|P100"))
    assert selectors.worklist_steps().count() == 1
    accepted(message("ORC|CA|P200"))
    accepted(said("NW", "P200", status="HD"))
    assert Order.objects.get(placer_order_number="P200").procedures.get().status == "CANCELED"


@pytest.mark.parametrize("status", ["CM", "CA", "DC"])
def test_an_order_that_is_over_when_it_comes_is_on_no_worklist(feed, status):
    """NW of a system that loads its past orders: done or canceled there, nobody shall be scanned for it."""
    accepted(said("NW", status=status))
    assert not selectors.worklist_steps().exists()


def test_an_order_that_is_not_scheduled_yet_is_held_too(feed):
    """Booked while on hold it is on no worklist."""
    accepted(order(start=""))
    accepted(message("ORC|HD|P100"))
    accepted(order("XO"))
    assert not selectors.worklist_steps().exists() and ScheduledProcedureStep.objects.get().status == "SCHEDULED"


def test_hold_of_what_has_started_is_refused(feed):
    """AE 206 with the status."""
    accepted(order())
    start_exam()
    assert verdict(answer_to(message("ORC|HD|P100")))[:2] == ("AE", "206")
    assert verdict(answer_to(message("ORC|HD|NOPE")))[:2] == ("AE", "204")


def test_an_order_is_replaced(feed):
    """RP with RO: the old one is canceled, the new one is on the worklist, in one transaction."""
    accepted(order(placer="OLD"))
    accepted(message(PID, "ORC|RP|OLD", "ORC|RO|NEW", "TQ1|1||||||202611221000", "OBR|1|NEW||XWRIST^X-ray wrist^L"))
    assert {found.placer_order_number: found.procedures.get().status for found in Order.objects.all()} == {
        "OLD": "CANCELED",
        "NEW": "SCHEDULED",
    }


def test_what_has_started_is_not_replaced(feed):
    """AE, and the new order is not placed either."""
    accepted(order())
    start_exam()
    raw = message(PID, "ORC|RP|P100", "ORC|RO|NEW", "OBR|1|NEW||XWRIST")
    assert verdict(answer_to(raw))[:2] == ("AE", "206")
    assert Order.objects.count() == 1


def test_an_order_that_replaces_itself_is_changed(feed):
    """RP and RO of one placer number."""
    accepted(order())
    accepted(message(PID, "ORC|RP|P100", "ORC|RO|P100", "TQ1|1||||||202611221000", "OBR|1|P100||XWRIST"))
    assert ScheduledProcedureStep.objects.get().start.isoformat() == "2026-11-22T10:00:00+00:00"


def test_children_are_orders_of_their_own(feed):
    """PA and CH: the parent is on no worklist; a child knows its parent if that is here."""
    accepted(order(placer="PARENT"))
    raw = message(PID, "ORC|PA|PARENT", "ORC|CH|C1|||||||PARENT", "OBR|1|C1||XWRIST||20261122")
    accepted(raw.replace(b"ORC|CH|C1|||||||", b"ORC|CH|C1||||||"))
    child = Order.objects.get(placer_order_number="C1")
    assert child.parent == Order.objects.get(placer_order_number="PARENT")


PARENT = "ORC|PA|PARENT"
CHILDREN = ("ORC|CH|C1||||||PARENT", "OBR|1|C1||XWRIST", "ORC|CH|C2||||||PARENT", "OBR|1|C2||CTHEAD")


@pytest.mark.parametrize(
    "messages",
    [
        ((PARENT, *CHILDREN),),
        ((PARENT,), CHILDREN),
        (CHILDREN, (PARENT,)),
        ((PARENT, *(segment.replace("||||||PARENT", "") for segment in CHILDREN)),),
        ((*CHILDREN, PARENT),),
        (CHILDREN[:2], (PARENT, *CHILDREN[2:])),
    ],
    ids=["together", "before", "after", "without ORC-8", "behind", "between"],
)
def test_a_parent_is_kept_for_its_children(feed, messages):
    """Whenever PA comes and by ORC-8 or its place in the message: an order without exams, which both children know."""
    for segments in messages:
        accepted(message(PID, *segments))
    parent = Order.objects.get(placer_order_number="PARENT")
    assert {child.placer_order_number for child in parent.children.all()} == {"C1", "C2"}
    assert not parent.procedures.exists() and not parent.is_provisional and parent.patient.patient_id == "GRACE1"
    assert RequestedProcedure.objects.count() == 2


def test_a_parent_that_never_came_is_awaited(feed):
    """By the placer's number in ORC-8, or the filler's; no parent of another patient."""
    accepted(message(PID, "ORC|CH|C1||||||P9&HIS^F9&RIS", "OBR|1|C1||XWRIST"))
    parent = Order.objects.get(placer_order_number="C1").parent
    assert parent and parent.is_provisional and (parent.placer_order_number, parent.filler_order_number) == ("P9", "F9")
    accepted(message(PID.replace("GRACE1", "OTHER9"), "ORC|CH|C2||||||P9&HIS", "OBR|1|C2||XWRIST"))
    assert Order.objects.get(placer_order_number="C2").parent is None
    assert "not kept" in accepted(message("ORC|PA|P10"))


def test_who_asks_for_a_number_is_told_it(feed):
    """SN: the order is placed and the AA names its filler order number."""
    assert "filler order number is A1" in accepted(order("SN", accession="A1"))


def test_a_placer_number_comes_back(feed):
    """NA: an order known by its filler number gets the placer's; another order's number is refused."""
    accepted(message(PID, "ORC|NW||F1", "OBR|1||F1|XWRIST"))
    for _repeat in range(2):
        accepted(message("ORC|NA|P7|F1"))
    assert Order.objects.get().placer_order_number == "P7"
    assert verdict(answer_to(message("ORC|NA|P8|F1")))[:2] == ("AE", "205")
    assert verdict(answer_to(message("ORC|NA|P8|F9")))[:2] == ("AE", "204")


def test_an_empty_order_control_is_derived(feed):
    """From ORC-5, if the order is here (#053)."""
    assert verdict(answer_to(said("", status="CA"))) == ("AE", "101", "ORC^1^1")
    accepted(order())
    assert verdict(answer_to(order(""))) == ("AE", "101", "ORC^1^1")
    accepted(said("", status="CA"))
    assert RequestedProcedure.objects.get().status == "CANCELED"


def test_an_unknown_code_may_be_passed_over(feed):
    """The feed's policy: AA and a sentence (#045)."""
    feed.mapping = {"policies": {"unknown_order_control": "ignore"}}
    feed.save()
    assert "KN is not taken" in accepted(order("KN"))
    assert not Order.objects.exists()


def test_a_cancellation_that_is_refused_is_seen(feed):
    """In the exam's history, although what it did was rolled back; the message is linked with the order."""
    accepted(order())
    start_exam()
    answer = answer_to(message(PID, "ORC|CA|P100", "OBR|1|P100"))
    assert verdict(answer)[:2] == ("AE", "206") and "STARTED" in (answer.value("ERR-8") or "")
    procedure = RequestedProcedure.objects.get()
    event = selectors.history(procedure).get(verb="cancel refused")
    assert "STARTED" in event.reason and event.source_message.startswith("HL7 MSH-10 T")
    assert procedure.status == "IN PROGRESS" and procedure.order.canceled_at is None
    assert procedure.order.inbound_messages.count() == 2


def test_a_cancellation_before_its_order(feed):
    """Kept; the order that comes is stored as canceled, and its AA says so (#046)."""
    assert "when it comes" in accepted(message("ORC|CA|P100", "NTE|1||Died"))
    assert Tombstone.objects.get().cancel_reason == "Died"
    assert "canceled" in accepted(order(accession="A1"))
    procedure = RequestedProcedure.objects.get()
    assert procedure.status == "CANCELED" and procedure.order.cancel_reason == "Died"
    assert not selectors.worklist_steps().exists() and not Tombstone.objects.exists()


def test_another_senders_number_is_not_buried(feed):
    """A cancellation of one sender does not meet the same number of another."""
    accepted(message("ORC|CA|P100"))
    accepted(order(sender="OTHER|WARD"))
    assert selectors.worklist_steps().count() == 1


def test_a_change_before_its_order(feed):
    """Provisional until NW comes; what the change said later stays."""
    accepted(said("XO", at="20250122090000", start="20261123140000"))
    assert Order.objects.get().is_provisional
    assert "later message" in accepted(said("NW", at="20250122080000", accession="A1"))
    placed = Order.objects.get()
    assert not placed.is_provisional and placed.accession_number == "A1"
    assert ScheduledProcedureStep.objects.get().start.isoformat() == "2026-11-23T14:00:00+00:00"


def test_a_canceled_order_is_not_placed_again(feed):
    """A new order of its number, said after the cancellation, is refused: nobody would perform it."""
    accepted(said("NW", at="20250122080000"))
    accepted(said("CA", at="20250122090000"))
    assert verdict(answer_to(said("NW", at="20250122100000")))[:2] == ("AE", "206")
    assert RequestedProcedure.objects.get().status == "CANCELED"


def test_the_explicit_null_clears(feed):
    """Of order, exam and step; what is empty stays."""
    full = "OBR|1|P100||XWRIST^X-ray wrist^L|||||||||pain|||||||||||DX|||||||R1^fall"
    accepted(message(PID, "ORC|NW|P100", "TQ1|1||||||202611221000||S", full, "NTE|1||note"))
    accepted(message(PID, "ORC|XO|P100", "OBR|1|P100||XWRIST^X-ray wrist^L"))
    procedure = RequestedProcedure.objects.get()
    assert (procedure.reason, procedure.order.clinical_information, procedure.order.priority) == (
        "fall",
        "pain",
        "STAT",
    )
    null = full.replace("pain", '""').replace("R1^fall", '""')
    accepted(message(PID, "ORC|XO|P100", 'TQ1|1||||||""||""', null))
    procedure.refresh_from_db()
    assert (procedure.reason, procedure.order.clinical_information, procedure.order.priority) == ("", "", "")


def test_a_start_that_is_nulled_takes_the_booking_away(feed):
    """To be scheduled again; said once more it changes nothing, and a new time books it."""
    accepted(order())
    for _repeat in range(2):
        accepted(order("XO", start='""'))
    step = ScheduledProcedureStep.objects.get()
    assert (step.status, step.start, step.stations.count()) == ("NEW", None, 0)
    assert WorkflowEvent.objects.filter(verb="unschedule").count() == 1
    accepted(order("XO", start="20261123140000"))
    assert selectors.worklist_steps().count() == 1


#: Messages about one order and its patient: in whichever order they come, the state at the end is one.
MESSAGES = {
    "NW": said("NW", at="20250122080000", accession="A1", patient="OLD1"),
    "XO 1": said("XO", at="20250122081000", start="20261123140000", patient="OLD1", modality=""),
    "XO 2": said("XO", at="20250122082000", obr="CTHEAD^CT head^L", start="", modality="", patient="OLD1"),
    "XO 3": said("XO", at="20250122083000", start='""', patient="OLD1"),
    "CA": said("CA", at="20250122084000", patient="OLD1"),
    "A08": message("PID|||OLD1^^^ADT^MR||Married^Grace||19800229", kind="ADT^A08", at="20250122081500"),
    "A08 new": message("PID|||NEW1^^^ADT^MR||Kept^Grace|||F", kind="ADT^A08", at="20250122080500"),
    "A40": message("PID|||NEW1^^^ADT^MR", "MRG|OLD1^^^ADT^MR", kind="ADT^A40", at="20250122085000"),
}


def imaging(control: str, *ipcs: str, at: str, obr: str = "OBR|1|P100||XWRIST^X-ray wrist^L", more: str = "") -> bytes:
    """An OMI^O23 about some of the procedures of an order, each with its own IPC."""
    segments = (PID, f"ORC|{control}|P100|||||||{at}{more}", obr, *ipcs)
    return message(*segments, kind="OMI^O23", at=at)


def ipc(number: int, modality: str = "DX", protocol: str = "") -> str:
    return f"IPC|A1|RP{number}|1.2.3.{number}|S{number}|{modality}|{protocol}"


BOTH = ("OBR|1|P100||XWRIST^X-ray wrist^L", "OBR|2|P100||CTHEAD^CT head^L")
#: Messages about one order with two procedures: named by their identifiers, or by codes in whichever order.
TWO_IPC = {
    "NW": imaging("NW", ipc(1), ipc(2, "CT"), at="20250122080000"),
    "XO 1": imaging("XO", "TQ1|1||||||20261123140000", ipc(1), at="20250122081000"),
    "XO 2": imaging("XO", "TQ1|1||||||20261124150000", ipc(2, "CT", "P1^Thin^L"), at="20250122082000"),
    "XO code": imaging("XO", ipc(2, "MR"), at="20250122083000", obr="OBR|1|P100||MRHEAD^MR head^L"),
    "XO null": imaging("XO", 'TQ1|1||||||""', ipc(1), at="20250122083500"),
    "CA": message("ORC|CA|P100|||||||20250122084000", at="20250122084000"),
    "A08": message("PID|||GRACE1^^^ADT^MR||Married^Grace||19800229", kind="ADT^A08", at="20250122081500"),
}
TWO_OBR = {
    "NW": message(PID, "ORC|NW|P100|A1||||||20250122080000", *BOTH),
    "XO 1": message(PID, "ORC|XO|P100|A1||||||20250122081000", BOTH[1] + "||202611231500", BOTH[0] + "||202611231400"),
    "XO 2": message(PID, "ORC|XO|P100|A1||||||20250122082000", BOTH[0], BOTH[1] + "|" * 9 + "headache"),
    "SIU": message(
        "SCH|AP1" + "|" * 25 + "P100",
        PID,
        "AIS|1|A|XWRIST|202611231600",
        "AIS|2|A|CTHEAD|202611231700",
        kind="SIU^S12",
        at="20250122083000",
    ),
    "CA": message("ORC|CA|P100|A1||||||20250122084000"),
}


def state() -> tuple[object, ...]:
    """All that the messages said, without our own numbers."""
    patients = Patient.objects.filter(merged_into=None).order_by("patient_id")
    return (
        list(patients.values_list("patient_id", "patient_name", "patient_birth_date", "patient_sex")),
        [
            (number, "" if accession.startswith("SV") else accession, *rest)
            for number, accession, *rest in Order.objects.values_list(
                "placer_order_number", "accession_number", "patient__patient_id", "canceled_at", "is_provisional"
            )
        ],
        list(RequestedProcedure.objects.values_list("code_value", "description", "study_instance_uid", "status")),
        list(ScheduledProcedureStep.objects.values_list("status", "start", "modality", "duration_minutes")),
        sorted(selectors.worklist_steps().values_list("stations__ae_title", flat=True)),
        list(Tombstone.objects.values_list("placer_order_number")),
    )


def procedures_state() -> tuple[object, ...]:
    """The same for an order of several procedures, whose own numbers follow from who came first."""
    patients, found, _exams, _steps, listed, tombstones = state()
    exam = ("code_value", "description", "status", "reason")
    step = ("status", "start", "modality", "protocol_codes", "scheduled_procedure_step_id")
    rows = ScheduledProcedureStep.objects.values_list(
        *(f"requested_procedure__{name}" for name in exam), "requested_procedure__requested_procedure_id", *step
    )
    ours = ("SPS", "RP0")
    exams = sorted(str(["" if str(value).startswith(ours) else value for value in row]) for row in rows)
    return patients, found, exams, listed, tombstones


def outcome(
    names: tuple[str, ...],
    messages: dict[str, bytes] = MESSAGES,
    look: Callable[[], tuple[object, ...]] = state,
    taken: tuple[str, ...] = ("AA",),
) -> tuple[object, ...]:
    """The state after these messages, each with a control ID of its own; nothing stays."""
    with transaction.atomic():
        for number, name in enumerate(names):
            raw = messages[name].split(b"|")
            raw[9] = f"{name}{number}".encode()
            assert answer_to(b"|".join(raw)).value("MSA-1") in taken, name
        found = look()
        transaction.set_rollback(True)
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.sets(st.sampled_from(sorted(MESSAGES)), min_size=2).flatmap(
        lambda chosen: st.tuples(
            st.just(tuple(sorted(chosen))), st.permutations(sorted(chosen)), st.sampled_from(sorted(chosen))
        )
    )
)
def test_any_permutation_ends_in_the_same_state(feed, names):
    """Also with one message repeated under another control ID."""
    first, shuffled, repeated = names
    assert outcome((*shuffled, repeated)) == outcome(first)


def _permutation(messages: dict[str, bytes], *always: str) -> st.SearchStrategy[tuple[list[str], list[str]]]:
    chosen = st.sets(st.sampled_from(sorted(messages)), min_size=2).map(lambda names: sorted(names | {*always}))
    return chosen.flatmap(lambda names: st.tuples(st.just(names), st.permutations(names)))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=_permutation(TWO_IPC))
def test_any_permutation_about_two_named_procedures(feed, names):
    """Two IPC, of which a message may be about one: the same state, down to the identifiers."""
    first, shuffled = (outcome(tuple(each), TWO_IPC, procedures_state) for each in names)
    assert first == shuffled


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=_permutation({name: raw for name, raw in TWO_OBR.items() if name != "SIU"}))
def test_any_permutation_about_two_coded_procedures(feed, names):
    """Two OBR without identifiers, which the messages name in another order: told apart by their codes."""
    first, shuffled = (outcome(tuple(each), TWO_OBR, procedures_state) for each in names)
    assert first == shuffled


@pytest.mark.parametrize("last", list(permutations(("XO 1", "XO 2", "SIU"))), ids="-".join)
def test_two_procedures_and_their_appointment(feed, last):
    """SIU with an AIS for each, among the changes."""
    expected = outcome(("NW", "XO 1", "XO 2", "SIU"), TWO_OBR, procedures_state)
    assert outcome(("NW", *last), TWO_OBR, procedures_state) == expected


def test_two_procedures_of_one_code_are_two(feed):
    """Both wrists: told apart by their place, also when they are sent again."""
    pair = ("OBR|1|P100||XWRIST^Left^L", "OBR|2|P100||XWRIST^Right^L")
    for control in ("NW", "NW", "XO"):
        accepted(message(PID, f"ORC|{control}|P100", *pair))
    assert list(RequestedProcedure.objects.values_list("description", flat=True)) == ["Left", "Right"]


@pytest.mark.parametrize("names", list(permutations(("NW", "XO 1", "CA"))))
def test_every_order_of_three(feed, names):
    """The case that every HIS makes one day, each way."""
    assert outcome(names) == outcome(("NW", "XO 1", "CA"))
    assert outcome(names)[2][0][3] == "CANCELED"
