"""Modality worklist, C-FIND (PS3.4 K.4.1)."""

import logging
import time
from collections.abc import Iterable, Iterator

from pydicom.dataset import Dataset

from ris.models import ScheduledProcedureStep
from worklist import encoding, matching, mwl_dataset
from worklist.dimse import CANCEL, PENDING, PENDING_UNSUPPORTED, Answer, Request
from worklist.status import OUT_OF_RESOURCES

logger = logging.getLogger(__name__)

#: The most entries one query is answered with; a query for more ends in A700H, never in a silent cut.
MOST_ROWS = 5_000


def find(request: Request) -> Iterable[Answer]:
    """The worklist entries that match, in the order of their start. Reads everything before the first answer."""
    began = time.monotonic()
    identifier = encoding.decode(request.data, request.implicit_vr, request.character_set)
    criteria = matching.criteria(identifier)
    steps = [step for step in criteria.steps()[: MOST_ROWS + 1] if criteria.covers(step)]
    logger.info(
        "worklist query of %s: %d entries in %.0f ms, keys %s",
        request.calling_ae_title,
        len(steps),
        (time.monotonic() - began) * 1000,
        " ".join(_named(identifier)),
    )
    status = PENDING_UNSUPPORTED if criteria.unsupported else PENDING
    return _answers(steps, identifier, request, status)


def _answers(
    steps: list[ScheduledProcedureStep], identifier: Dataset, request: Request, status: int
) -> Iterator[Answer]:
    for step in steps[:MOST_ROWS]:
        if request.is_cancelled():
            yield Answer(status=CANCEL)
            return
        yield Answer(status=status, dataset=mwl_dataset.answer(step, identifier, request.character_set))
    if len(steps) > MOST_ROWS:
        yield Answer(status=OUT_OF_RESOURCES, comment=f"More than {MOST_ROWS} entries match")


def _named(identifier: Dataset) -> Iterator[str]:
    """The keys that a query asks to match, never their values."""
    for element in identifier:
        if element.VR == "SQ":
            for item in element.value or []:
                yield from _named(item)
        elif element.value not in (None, ""):
            yield element.keyword or f"{element.tag:08X}"
