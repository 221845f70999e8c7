"""The exam's life as tables: what may happen to a step, and what the clinic calls the exam.

Pure and standard library only. ``TRANSITIONS`` is the single truth about a Scheduled Procedure Step's status; the
README prints it and the tests walk every cell. Status words are the defined terms of Scheduled Procedure Step Status
(PS3.3 C.4.10, 0040,0020) and of Performed Procedure Step Status (PS3.3 C.4.14, 0040,0252), with the clinic's words
where DICOM has none.
"""

from collections.abc import Iterable
from enum import StrEnum


class StepStatus(StrEnum):
    """Status of a Scheduled Procedure Step. ``NEW`` has no start time yet and is on no worklist."""

    NEW = "NEW"
    SCHEDULED = "SCHEDULED"
    ARRIVED = "ARRIVED"
    READY = "READY"
    STARTED = "STARTED"
    COMPLETED = "COMPLETED"
    DISCONTINUED = "DISCONTINUED"
    CANCELED = "CANCELED"
    NO_SHOW = "NO_SHOW"


class PerformedStatus(StrEnum):
    """Status of a Performed Procedure Step (0040,0252); the values are the DICOM defined terms."""

    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    DISCONTINUED = "DISCONTINUED"


#: DCM 110514 "Incorrect worklist entry selected" (PS3.16 CID 9300): a DISCONTINUED step with it was never of its entry.
WRONG_ENTRY = "110514"


class ExamStatus(StrEnum):
    """What the clinic says of a requested procedure as a whole."""

    ORDERED = "ORDERED"
    SCHEDULED = "SCHEDULED"
    ARRIVED = "ARRIVED"
    IN_PROGRESS = "IN PROGRESS"
    PERFORMED = "PERFORMED"
    IMAGES_COMPLETE = "IMAGES COMPLETE"
    REPORTED = "REPORTED"
    ON_HOLD = "ON HOLD"
    CANCELED = "CANCELED"
    DISCONTINUED = "DISCONTINUED"
    NO_SHOW = "NO SHOW"


class Verb(StrEnum):
    """What can be done to a step. ``restore`` is the discontinue that gives the step back to the worklist."""

    SCHEDULE = "schedule"
    UNSCHEDULE = "unschedule"
    ARRIVE = "arrive"
    READY = "ready"
    START = "start"
    RESUME = "resume"
    COMPLETE = "complete"
    DISCONTINUE = "discontinue"
    RESTORE = "restore"
    CANCEL = "cancel"
    NO_SHOW = "no-show"
    HOLD = "hold"
    RELEASE = "release"


_S = StepStatus

#: verb, the statuses it is allowed in, the status it leads to (None: a flag beside the status), and who does it.
TRANSITION_ROWS: tuple[tuple[Verb, tuple[StepStatus, ...], StepStatus | None, str], ...] = (
    (Verb.SCHEDULE, (_S.NEW, _S.SCHEDULED, _S.ARRIVED, _S.NO_SHOW), _S.SCHEDULED, "front desk, API, HL7 with a time"),
    (Verb.UNSCHEDULE, (_S.SCHEDULED, _S.ARRIVED, _S.NO_SHOW), _S.NEW, "appointment canceled (SIU S15, S17)"),
    (Verb.ARRIVE, (_S.SCHEDULED,), _S.ARRIVED, "front desk, ADT A10"),
    (Verb.READY, (_S.ARRIVED,), _S.READY, "technologist"),
    (Verb.START, (_S.SCHEDULED, _S.ARRIVED, _S.READY), _S.STARTED, "MPPS N-CREATE; first image without MPPS"),
    (Verb.RESUME, (_S.DISCONTINUED, _S.NO_SHOW), _S.STARTED, "MPPS N-CREATE for a step thought to be over"),
    (Verb.COMPLETE, (_S.STARTED,), _S.COMPLETED, "all its MPPS final and one COMPLETED; quiet study without MPPS"),
    (Verb.DISCONTINUE, (_S.STARTED,), _S.DISCONTINUED, "all its MPPS DISCONTINUED"),
    (Verb.RESTORE, (_S.STARTED,), _S.SCHEDULED, "all its MPPS DISCONTINUED with DCM 110514, wrong entry picked"),
    (Verb.CANCEL, (_S.NEW, _S.SCHEDULED, _S.ARRIVED, _S.READY), _S.CANCELED, "ORC-1 CA/OC/DC, front desk"),
    (Verb.NO_SHOW, (_S.SCHEDULED,), _S.NO_SHOW, "front desk, SIU S26"),
    (Verb.HOLD, (_S.NEW, _S.SCHEDULED, _S.ARRIVED), None, "ORC-1 HD, front desk: hidden from worklists"),
    (Verb.RELEASE, (_S.NEW, _S.SCHEDULED, _S.ARRIVED), None, "ORC-1 RL, front desk: shown again"),
)

#: (status, verb) -> status. What is not in the table is not allowed.
TRANSITIONS: dict[tuple[StepStatus, Verb], StepStatus] = {
    (status, verb): target or status for verb, sources, target, _who in TRANSITION_ROWS for status in sources
}

#: Statuses in which the step waits for its patient or the scanner: these are what a worklist shows.
PENDING = frozenset({_S.SCHEDULED, _S.ARRIVED, _S.READY})
#: Statuses in which nothing more is expected of the step.
OVER = frozenset({_S.COMPLETED, _S.DISCONTINUED, _S.CANCELED, _S.NO_SHOW})

#: What an exam is once its steps are done.
DONE = frozenset({ExamStatus.PERFORMED, ExamStatus.IMAGES_COMPLETE, ExamStatus.REPORTED})


def is_allowed(status: str, verb: Verb) -> bool:
    """Whether the table lets ``verb`` happen to a step in ``status``."""
    return (StepStatus(status), verb) in TRANSITIONS


def verb_for_performed(current: str, performed: Iterable[str], wrong_entry: bool = False) -> Verb | None:
    """What the set of a step's MPPS statuses asks of the step, or None when it changes nothing.

    Derived from *all* MPPS of the step, so that append (a second MPPS), group and repeats come out the same in any
    order. A new MPPS never re-opens a COMPLETED step: it is appended (DESIGN section 3).

    ``performed`` is without those that ended as a wrong entry (``WRONG_ENTRY``), which say nothing about the step;
    ``wrong_entry``: there was such a one.
    """
    status, states = StepStatus(current), {PerformedStatus(state) for state in performed}
    if status in (_S.COMPLETED, _S.CANCELED, _S.NEW):
        return None
    if not states:
        return Verb.RESTORE if wrong_entry and status is _S.STARTED else None
    if PerformedStatus.IN_PROGRESS in states:
        return _verb_to_begin(status)
    if status is not _S.STARTED:
        return None
    return Verb.COMPLETE if PerformedStatus.COMPLETED in states else Verb.DISCONTINUE


def _verb_to_begin(status: StepStatus) -> Verb | None:
    for verb in (Verb.START, Verb.RESUME):
        if (status, verb) in TRANSITIONS:
            return verb
    return None


def exam_status(
    steps: Iterable[tuple[str, bool]], *, images_complete: bool = False, reported: bool = False
) -> ExamStatus:
    """The exam's status from its steps' ``(status, on_hold)``, its images and its report.

    The first rule that holds wins:

    ========================================================  ===============
    the report is there                                       REPORTED
    every step CANCELED (and there is one)                    CANCELED
    a step STARTED, or one COMPLETED while another waits      IN PROGRESS
    a step COMPLETED, every image its MPPS listed is here     IMAGES COMPLETE
    a step COMPLETED                                          PERFORMED
    a step waits and one is on hold                           ON HOLD
    a step ARRIVED or READY                                   ARRIVED
    a step SCHEDULED                                          SCHEDULED
    a step NEW, or no step at all                             ORDERED
    a step DISCONTINUED                                       DISCONTINUED
    only NO_SHOW is left                                      NO SHOW
    ========================================================  ===============
    """
    rows = [(StepStatus(status), held) for status, held in steps]
    live = {status for status, _held in rows if status is not _S.CANCELED}
    waiting = bool(live & (PENDING | {_S.NEW}))
    done = _S.COMPLETED in live
    rules: tuple[tuple[bool, ExamStatus], ...] = (
        (reported, ExamStatus.REPORTED),
        (bool(rows) and not live, ExamStatus.CANCELED),
        (_S.STARTED in live or (done and waiting), ExamStatus.IN_PROGRESS),
        (done and images_complete, ExamStatus.IMAGES_COMPLETE),
        (done, ExamStatus.PERFORMED),
        (any(held for status, held in rows if status in PENDING | {_S.NEW}), ExamStatus.ON_HOLD),
        (bool(live & {_S.ARRIVED, _S.READY}), ExamStatus.ARRIVED),
        (_S.SCHEDULED in live, ExamStatus.SCHEDULED),
        (_S.NEW in live or not rows, ExamStatus.ORDERED),
        (_S.DISCONTINUED in live, ExamStatus.DISCONTINUED),
    )
    return next((status for holds, status in rules if holds), ExamStatus.NO_SHOW)
