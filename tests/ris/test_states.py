"""The state table, cell by cell, and the rules computed from it."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ris.states import (
    PENDING,
    TRANSITION_ROWS,
    TRANSITIONS,
    ExamStatus,
    PerformedStatus,
    StepStatus,
    Verb,
    exam_status,
    is_allowed,
    verb_for_performed,
)

#: The design's table written a second time, by hand: rows are verbs, columns the statuses in this order.
#: A letter is the status it leads to; a dot is a cell that is not allowed.
COLUMNS = ["NEW", "SCHEDULED", "ARRIVED", "READY", "STARTED", "COMPLETED", "DISCONTINUED", "CANCELED", "NO_SHOW"]
CELLS = """
schedule     SCHEDULED SCHEDULED SCHEDULED .        .            . .       . SCHEDULED
unschedule   .         NEW       NEW       .        .            . .       . NEW
arrive       .         ARRIVED   .         .        .            . .       . .
ready        .         .         READY     .        .            . .       . .
start        .         STARTED   STARTED   STARTED  .            . .       . .
resume       .         .         .         .        .            . STARTED . STARTED
complete     .         .         .         .        COMPLETED    . .       . .
discontinue  .         .         .         .        DISCONTINUED . .       . .
restore      .         .         .         .        SCHEDULED    . .       . .
cancel       CANCELED  CANCELED  CANCELED  CANCELED .            . .       . .
no-show      .         NO_SHOW   .         .        .            . .       . .
hold         NEW       SCHEDULED ARRIVED   .        .            . .       . .
release      NEW       SCHEDULED ARRIVED   .        .            . .       . .
"""
TABLE = {
    (StepStatus(column), Verb(verb)): None if cell == "." else StepStatus(cell)
    for verb, *cells in (line.split() for line in CELLS.split("\n") if line.strip())
    for column, cell in zip(COLUMNS, cells, strict=True)
}


@pytest.mark.parametrize(("status", "verb"), list(itertools.product(StepStatus, Verb)))
def test_every_cell(status, verb):
    """Each cell of the table leads where the design says, and no further."""
    assert TRANSITIONS.get((status, verb)) == TABLE[status, verb]
    assert is_allowed(status, verb) == (TABLE[status, verb] is not None)


def test_each_verb_has_one_row():
    """A verb stands in one row, so that the README's table is the whole truth."""
    assert [row[0] for row in TRANSITION_ROWS] == list(Verb)


S, A, R, T, C, D, X, N, W = (
    StepStatus(word)
    for word in ["SCHEDULED", "ARRIVED", "READY", "STARTED", "COMPLETED", "DISCONTINUED", "CANCELED", "NO_SHOW", "NEW"]
)


@pytest.mark.parametrize(
    ("steps", "facts", "expected"),
    [
        ((), {}, ExamStatus.ORDERED),
        ((W,), {}, ExamStatus.ORDERED),
        ((S,), {}, ExamStatus.SCHEDULED),
        ((S, W), {}, ExamStatus.SCHEDULED),
        ((A, S), {}, ExamStatus.ARRIVED),
        ((R,), {}, ExamStatus.ARRIVED),
        ((T, S), {}, ExamStatus.IN_PROGRESS),
        ((C, S), {}, ExamStatus.IN_PROGRESS),
        ((C, W), {}, ExamStatus.IN_PROGRESS),
        ((C,), {}, ExamStatus.PERFORMED),
        ((C, D), {}, ExamStatus.PERFORMED),
        ((C, X), {}, ExamStatus.PERFORMED),
        ((C,), {"images_complete": True}, ExamStatus.IMAGES_COMPLETE),
        ((C, S), {"images_complete": True}, ExamStatus.IN_PROGRESS),
        ((C,), {"images_complete": True, "reported": True}, ExamStatus.REPORTED),
        ((X, X), {}, ExamStatus.CANCELED),
        ((X, S), {}, ExamStatus.SCHEDULED),
        ((D,), {}, ExamStatus.DISCONTINUED),
        ((D, S), {}, ExamStatus.SCHEDULED),
        ((D, N), {}, ExamStatus.DISCONTINUED),
        ((N,), {}, ExamStatus.NO_SHOW),
        ((N, X), {}, ExamStatus.NO_SHOW),
    ],
)
def test_exam_status(steps, facts, expected):
    """The exam's status follows from its steps, its images and its report."""
    assert exam_status([(step, False) for step in steps], **facts) is expected


@pytest.mark.parametrize("status", sorted(PENDING))
def test_hold(status):
    """A held step that waits puts the exam on hold, unless another has started."""
    assert exam_status([(status, True)]) is ExamStatus.ON_HOLD
    assert exam_status([(status, True), (T, False)]) is ExamStatus.IN_PROGRESS


P, F, Q = PerformedStatus.IN_PROGRESS, PerformedStatus.COMPLETED, PerformedStatus.DISCONTINUED


@pytest.mark.parametrize(
    ("status", "performed", "wrong_entry", "verb"),
    [
        (S, [P], False, Verb.START),
        (A, [P], False, Verb.START),
        (R, [P], False, Verb.START),
        (T, [F], False, Verb.COMPLETE),
        (T, [Q], False, Verb.DISCONTINUE),
        (T, [], True, Verb.RESTORE),
        (T, [Q], True, Verb.DISCONTINUE),
        (T, [F], True, Verb.COMPLETE),
        (T, [P], True, None),
        (D, [Q], True, None),
        (T, [Q, F], False, Verb.COMPLETE),
        (T, [F, P], False, None),
        (D, [Q, P], False, Verb.RESUME),
        (N, [P], False, Verb.RESUME),
        (C, [F, P], False, None),
        (C, [F, Q], False, None),
        (X, [P], False, None),
        (W, [P], False, None),
        (S, [], True, None),
        (S, [], False, None),
    ],
)
def test_what_mpps_ask_of_a_step(status, performed, wrong_entry, verb):
    """A step's state is derived from all its MPPS: append, group and repeats come out right."""
    assert verb_for_performed(status, performed, wrong_entry) is verb


@given(st.sampled_from(StepStatus), st.lists(st.sampled_from(PerformedStatus), max_size=4), st.booleans())
def test_mpps_never_ask_for_what_the_table_forbids(status, performed, wrong_entry):
    """Whatever MPPS say, the verb is a cell of the table, in any order of the MPPS, and settles at once."""
    verb = verb_for_performed(status, performed, wrong_entry)
    assert verb == verb_for_performed(status, reversed(performed), wrong_entry)
    if verb is not None:
        after = TRANSITIONS[status, verb]
        assert verb_for_performed(after, performed, wrong_entry) in (None, Verb.COMPLETE, Verb.DISCONTINUE)
