"""Modality Performed Procedure Step: N-CREATE, N-SET and N-GET (PS3.4 annex F). ``mpps_rules`` says what is refused.

What a message says, and what of it goes on to other systems, is durable in one transaction before it is answered.
"""

import json
import logging

from django.db import transaction
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from ris import selectors
from ris.errors import DuplicatePerformedStep, UnknownPerformedStep
from ris.inputs import Actor, StepReport
from ris.models import Station
from ris.services import performing
from worklist import activity, early_updates, encoding, forwarding, handling, mpps_report, mpps_rules
from worklist.dimse import SUCCESS, Answer, Request
from worklist.mpps_rules import Defect, Kind
from worklist.mpps_table import BY_KEYWORD, NOT_ALLOWED, RULES

logger = logging.getLogger(__name__)

#: Warning of an N-GET: requested optional attributes are not supported (PS3.4 F.8.2).
NOT_SUPPORTED = 0x0001
_SPECIFIC_CHARACTER_SET = 0x00080005
_TABLE_TAGS = frozenset(rule.tag for rule in RULES)


def create(request: Request) -> Answer:
    """N-CREATE: a performed procedure step begins. Without an instance UID we make one (PS3.7 10.1.5.1.4)."""
    uid = request.sop_instance_uid or generate_uid(prefix=None)
    mpps_rules.check_instance_uid(uid)
    attributes = _decode(request)
    no_numbers = mpps_rules.drop_no_numbers(attributes)
    _judge(request, [*_character_set(request, attributes), *mpps_rules.create_defects(attributes), *no_numbers])
    report = mpps_report.created(uid, attributes)
    try:
        with transaction.atomic():
            performing.start(report, _actor(request, uid))
            forwarding.put_create(request.station, uid, attributes, report.attributes)
    except DuplicatePerformedStep:
        _log_repeat(report)
        raise
    if request.sop_instance_uid:
        return Answer(status=SUCCESS)
    made = Dataset()
    made.AffectedSOPInstanceUID = uid
    return Answer(status=SUCCESS, dataset=made)


def update(request: Request) -> Answer:
    """N-SET: the step goes on or ends. What it needs to end may have come with this or an earlier message."""
    uid = request.sop_instance_uid or ""
    mpps_rules.check_instance_uid(uid)
    modification = _decode(request)
    no_numbers = mpps_rules.drop_no_numbers(modification)
    try:
        with transaction.atomic():
            performed = performing.lock(uid)
            performing.check_in_progress(performed)  # before anything else that may be wrong with the modification
            defects = mpps_rules.set_defects(modification, performed.attributes)
            _judge(request, [*_character_set(request, modification), *defects, *no_numbers])
            mpps_rules.drop_not_settable(modification)
            report = mpps_report.updated(uid, modification)
            performing.update(report, _actor(request, uid))
            forwarding.put_set(uid, modification, report.attributes)
    except UnknownPerformedStep:
        early_updates.park(request.calling_ae_title, uid, mpps_report.to_json(modification))
        raise
    return Answer(status=SUCCESS)


def get(request: Request) -> Answer:
    """N-GET (PS3.4 F.8): the object as it stands; only the attributes asked for if any were named."""
    uid = request.sop_instance_uid or ""
    mpps_rules.check_instance_uid(uid)
    stored, asked = selectors.performed_step(uid).attributes, set(request.asked_tags)
    kept = {tag: element for tag, element in stored.items() if not asked or int(tag, 16) in asked}
    dataset = Dataset.from_json(kept)
    if _SPECIFIC_CHARACTER_SET in asked or not json.dumps(kept, ensure_ascii=False).isascii():
        dataset.SpecificCharacterSet = "ISO_IR 192"
    unknown = asked - _TABLE_TAGS - {int(tag, 16) for tag in stored}
    return Answer(status=NOT_SUPPORTED if unknown else SUCCESS, dataset=dataset)


def _decode(request: Request) -> Dataset:
    return encoding.decode(request.data, request.implicit_vr, request.character_set)


def _character_set(request: Request, dataset: Dataset) -> list[Defect]:
    """Type 1C: what is not ASCII needs a Specific Character Set; where it was left out the station's own was taken."""
    said = _SPECIFIC_CHARACTER_SET.to_bytes(4, "big")
    first = bytes((said[1], said[0], said[3], said[2]))
    if "SpecificCharacterSet" not in dataset or first in request.data[:24]:
        return []
    return [Defect("SpecificCharacterSet", Kind.MISSING, "Type 1C")]


def _judge(request: Request, defects: list[Defect]) -> None:
    """Count each defect for the station, and refuse what its strictness does not let pass."""
    is_strict = request.station.mpps_strictness == Station.Strictness.STRICT
    refused = [defect for defect in defects if is_strict or defect.needed]
    for defect in dict.fromkeys(defects):
        activity.defect(request.station, f"{request.verb}: {defect}", defect in refused)
    if refused:
        raise mpps_rules.failure(refused)


def _log_repeat(report: StepReport) -> None:
    """A second N-CREATE of one instance: a scanner that missed our answer, or one that uses a UID twice."""
    stored = selectors.performed_step(report.sop_instance_uid).attributes
    fixed = [f"{rule.tag:08X}" for rule in BY_KEYWORD.values() if rule.set == NOT_ALLOWED]
    is_same = all(report.attributes.get(tag) == stored.get(tag) for tag in fixed)
    level, words = (logging.INFO, "the same again") if is_same else (logging.WARNING, "with other content")
    logger.log(level, "N-CREATE of %s came twice, %s", handling.printable(report.sop_instance_uid), words)


def _actor(request: Request, uid: str) -> Actor:
    return Actor(kind="DICOM", name=request.calling_ae_title, source_message=f"MPPS {uid}")
