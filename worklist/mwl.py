"""Modality worklist, C-FIND (PS3.4 K.4.1)."""

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

from ris.selectors import site_zone
from worklist import activity, encoding, identifier, matching, mwl_answer
from worklist.dimse import CANCEL, PENDING, PENDING_UNSUPPORTED, SUCCESS, Answer, Request
from worklist.entry import Entry
from worklist.matching import Criteria
from worklist.mwl_answer import Asked, Form, Writer
from worklist.status import DOES_NOT_MATCH_SOP_CLASS, OUT_OF_RESOURCES, Failure
from worklist.view import view

logger = logging.getLogger(__name__)

#: Answers between two looks for the peer's C-CANCEL.
ANSWERS_AT_ONCE = 100
#: What a station's default keys say for the day on which they are used.
TODAY = "TODAY"
#: Queries that are kept as they were understood: scanners ask the same again and again.
QUERIES_KEPT = 2_048


@dataclass(frozen=True)
class Query:
    criteria: Criteria
    asked: Asked
    keys: list[tuple[str, str]]


def find(request: Request) -> Iterable[Answer]:
    """The worklist entries that match, in the order of their start. Reads everything before the first answer."""
    began, profile = time.perf_counter(), request.station
    try:
        query = _read(request)
        view.refresh(request.received_at)
        entries = view.find(query.criteria, profile, profile.most_answers + 1)
    except Exception as error:
        activity.query(profile, request.address, _keys(request), (), _status_of(error), 0, _since(began))
        raise
    writer = view.writer(Form(query.asked, request.implicit_vr, request.character_set, profile.overlong))
    full = len(entries) > profile.most_answers
    activity.query(
        profile,
        request.address,
        query.keys,
        query.asked.keywords,
        OUT_OF_RESOURCES if full else SUCCESS,
        min(len(entries), profile.most_answers),
        _since(began),
    )
    return _answers(entries, writer, request, PENDING_UNSUPPORTED if query.criteria.unsupported else PENDING)


def _keys(request: Request) -> list[tuple[str, str]]:
    """What a query that was refused asked to match, as far as it can be read."""
    try:
        return list(identifier.keys(identifier.read(request.data, request.implicit_vr, request.character_set)))
    except encoding.MalformedDataset:
        return []


def _status_of(error: Exception) -> int:
    """The status with which ``status.answer_to`` answers a query that failed so."""
    if isinstance(error, Failure):
        return error.status
    return DOES_NOT_MATCH_SOP_CLASS if isinstance(error, encoding.MalformedDataset) else OUT_OF_RESOURCES


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1000


def _read(request: Request) -> Query:
    profile = request.station
    defaults = tuple(sorted(profile.default_keys.items()))
    today = datetime.now(site_zone()).date() if TODAY in profile.default_keys.values() else None
    return _understood(request.data, request.implicit_vr, request.character_set, defaults, today)


@lru_cache(maxsize=QUERIES_KEPT)
def _understood(
    data: bytes, implicit_vr: bool, character_set: str, defaults: tuple[tuple[str, str], ...], today: date | None
) -> Query:
    said = identifier.read(data, implicit_vr, character_set)
    filled = {keyword: f"{today:%Y%m%d}" if value == TODAY else value for keyword, value in defaults}
    return Query(matching.criteria(said, filled), mwl_answer.asked(said), list(identifier.keys(said)))


def _answers(entries: list[Entry], writer: Writer, request: Request, status: int) -> Iterator[Answer]:
    profile = request.station
    for number, entry in enumerate(entries[: profile.most_answers]):
        if number % ANSWERS_AT_ONCE == 0 and request.is_cancelled():
            yield Answer(status=CANCEL)
            return
        data, lost = writer.write(entry)
        for keyword in lost:
            activity.loss(profile, entry.pk, keyword)
        yield Answer(status=status, data=data)
    if len(entries) > profile.most_answers:
        yield Answer(status=OUT_OF_RESOURCES, comment=f"More than {profile.most_answers} entries match")
