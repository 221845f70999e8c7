"""A worklist entry: the facts of one scheduled step, read for thousands at once without a model instance each."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NamedTuple

from django.db.models import QuerySet

from ris.errors import UnknownOrder
from ris.models import PatientIdentifier, ScheduledProcedureStep
from ris.selectors import site_zone, worklist_steps
from ris.states import PENDING, StepStatus
from worklist.statement import Statement

#: What worklists may show: steps that wait, and started ones for a query that asks for their status.
SHOWN = PENDING | {StepStatus.STARTED}
#: Steps named in one statement.
_AT_ONCE = 1_000


class AssignedStation(NamedTuple):
    ae_title: str
    name: str
    modality: str


class OtherID(NamedTuple):
    """Another identifier of the patient, such as one that was merged away."""

    value: str
    issuer: str


@dataclass(slots=True, eq=False)
class Entry:
    """One scheduled step with all that worklists show of it; never changed, but replaced when the step changes.

    ``local`` is its start on the site's clock, naive, None for a step without; ``start`` is in UTC.
    """

    pk: int
    scheduled_procedure_step_id: str
    status: str
    on_hold: bool
    modality: str
    step_description: str
    protocol_codes: list[list[str]]
    start: datetime
    duration_minutes: int
    station_name: str
    location: str
    performing_physician: str
    pre_medication: str
    contrast_agent: str
    room: str | None
    room_location: str | None
    requested_procedure_id: str
    study_instance_uid: str
    code_value: str
    coding_scheme: str
    code_meaning: str
    description: str
    reason: str
    comments: str
    placer_order_number: str
    placer_issuer: str
    filler_order_number: str
    filler_issuer: str
    accession_number: str
    accession_issuer: str
    priority: str
    requesting_physician: str
    referring_physician: str
    current_patient_location: str
    clinical_information: str
    medical_alerts: str
    allergies: str
    pregnancy_status: int | None
    patient_state: str
    patient_weight: Decimal | None
    patient_size: Decimal | None
    transport_arrangements: str
    confidentiality: str
    ordered_at: datetime
    patient_id: str
    issuer_of_patient_id: str
    patient_name: str
    patient_birth_date: date | None
    patient_sex: str
    patient_address: str
    telephone: str
    patient_comments: str
    admission_id: str | None
    issuer_of_admission_id: str | None
    visit_location: str | None
    visit_physician: str | None
    patient_pk: int
    stations: tuple[AssignedStation, ...]
    other_ids: tuple[OtherID, ...]
    local: datetime | None

    @property
    def title(self) -> str:
        """What is to be done, in the words the order used (as RequestedProcedure.title)."""
        return self.description or self.code_meaning or self.code_value or "(procedure not named)"


_PROCEDURE = "requested_procedure__"
_ORDER = _PROCEDURE + "order__"
_PATIENT, _VISIT = _ORDER + "patient__", _ORDER + "visit__"
#: Where the facts are, in the order of Entry's fields: each is a column that a trigger watches (ris.triggers).
COLUMNS: tuple[str, ...] = (
    *("pk", "scheduled_procedure_step_id", "status", "on_hold", "modality", "description", "protocol_codes", "start"),
    *("duration_minutes", "station_name", "location", "performing_physician", "pre_medication", "contrast_agent"),
    *("room__name", "room__location"),
    *(
        _PROCEDURE + name
        for name in (
            *("requested_procedure_id", "study_instance_uid", "code_value", "coding_scheme", "code_meaning"),
            *("description", "reason", "comments"),
        )
    ),
    *(
        _ORDER + name
        for name in (
            *("placer_order_number", "placer_issuer", "filler_order_number", "filler_issuer", "accession_number"),
            *("accession_issuer", "priority", "requesting_physician", "referring_physician"),
            *("current_patient_location", "clinical_information", "medical_alerts", "allergies", "pregnancy_status"),
            *("patient_state", "patient_weight", "patient_size", "transport_arrangements", "confidentiality"),
            "created_at",
        )
    ),
    *(
        _PATIENT + name
        for name in (
            *("patient_id", "issuer_of_patient_id", "patient_name", "patient_birth_date", "patient_sex"),
            *("patient_address", "telephone", "patient_comments"),
        )
    ),
    *(_VISIT + name for name in ("admission_id", "issuer_of_admission_id")),
    *(_VISIT + name for name in ("current_patient_location", "referring_physician")),
    _ORDER + "patient_id",
)


def _shown_steps() -> QuerySet[ScheduledProcedureStep]:
    return worklist_steps(SHOWN).filter(start__isnull=False).order_by()


_Link = ScheduledProcedureStep.stations.through
_LINKED = ("scheduledprocedurestep_id", "station__ae_title", "station__name", "station__modality")
_SHOWN_STEPS = Statement(lambda keys: _shown_steps().filter(pk__in=keys).values_list(*COLUMNS))
_ANY_STEPS = Statement(lambda keys: ScheduledProcedureStep.objects.filter(pk__in=keys).values_list(*COLUMNS))
_STATIONS = Statement(
    lambda keys: (
        _Link.objects.filter(scheduledprocedurestep__in=keys).order_by("station__ae_title").values_list(*_LINKED)
    )
)
_OTHER_IDS = Statement(
    lambda keys: (
        PatientIdentifier.objects.filter(patient__in=keys).order_by("pk").values_list("patient_id", "value", "issuer")
    )
)


def shown(pks: Collection[int] | None = None) -> Iterator[Entry]:
    """The entries that worklists may show: of these steps, or all. A step without a start can be on none.

    In statements of bounded size: none takes longer than a query may.
    """
    named = sorted(pks) if pks is not None else list(_shown_steps().values_list("pk", flat=True))
    for first in range(0, len(named), _AT_ONCE):
        yield from _entries(_SHOWN_STEPS, named[first : first + _AT_ONCE])


def of_any(pk: int) -> Entry:
    """The entry of a step that may be on no worklist, for saying why; UnknownOrder if it is not here."""
    found = next(_entries(_ANY_STEPS, [pk]), None)
    if found is None:
        raise UnknownOrder("This step is not here")
    return found


def _entries(steps: Statement, pks: Collection[int]) -> Iterator[Entry]:
    rows = steps.rows(pks)
    stations = _stations([row[0] for row in rows])
    others = _other_ids({row[-1] for row in rows})
    zone = site_zone()
    for row in rows:
        start, own = row[_START], (row[_PATIENT_ID], row[_ISSUER])
        row[_START] = start.astimezone(UTC) if start else _NEVER
        other_ids = tuple(other for other in others[row[-1]] if other != own)
        local = start.astimezone(zone).replace(tzinfo=None) if start else None
        yield Entry(*(*row, stations.get(row[0], ()), other_ids, local))


_START, _PATIENT_ID, _ISSUER = map(COLUMNS.index, ("start", _PATIENT + "patient_id", _PATIENT + "issuer_of_patient_id"))
_NEVER = datetime.min.replace(tzinfo=UTC)


def _stations(pks: Collection[int]) -> dict[int, tuple[AssignedStation, ...]]:
    """Step -> its stations in the order of their AE titles; each combination is kept once."""
    found: dict[int, tuple[AssignedStation, ...]] = {}
    kept: dict[tuple[AssignedStation, ...], tuple[AssignedStation, ...]] = {}
    for pk, *station in _STATIONS.rows(pks):
        group = (*found.get(pk, ()), AssignedStation(*station))
        found[pk] = kept.setdefault(group, group)
    return found


def _other_ids(patients: Collection[int]) -> dict[int, list[OtherID]]:
    """Patient -> all identifiers, the one that is shown among them."""
    found: dict[int, list[OtherID]] = defaultdict(list)
    for pk, value, issuer in _OTHER_IDS.rows(patients):
        found[pk].append(OtherID(value, issuer))
    return found
