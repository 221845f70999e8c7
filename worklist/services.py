"""What may be asked in which presentation context, and the answers as they go over the wire."""

from collections.abc import Mapping

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from worklist import command, framing
from worklist.command import Command
from worklist.dimse import MODALITY_WORKLIST, MPPS, MPPS_RETRIEVE, VERIFICATION, Answer
from worklist.negotiation import Context
from worklist.status import (
    CANNOT_UNDERSTAND,
    DOES_NOT_MATCH_SOP_CLASS,
    NO_SUCH_SOP_CLASS,
    SOP_CLASS_NOT_SUPPORTED,
    UNRECOGNIZED_OPERATION,
)

#: Abstract syntax -> its DIMSE services (PS3.4 A.4, K.4.1, F.7, F.8); any other is a storage class (PS3.4 B.2).
_VERBS: Mapping[str, frozenset[str]] = {
    VERIFICATION: frozenset({"C-ECHO"}),
    MODALITY_WORKLIST: frozenset({"C-FIND"}),
    MPPS: frozenset({"N-CREATE", "N-SET"}),
    MPPS_RETRIEVE: frozenset({"N-GET"}),
}
_STORAGE_VERBS = frozenset({"C-STORE"})
#: Abstract syntax -> SOP classes of requests in it, where that is not the abstract syntax alone: MPPS Retrieve gets
#: instances of MPPS (PS3.4 F.8.1).
_CLASSES = {MPPS_RETRIEVE: (MPPS_RETRIEVE, MPPS)}
#: Verbs that cannot do without a data set, and what they answer without one.
_WITHOUT_DATA_SET = {"C-FIND": DOES_NOT_MATCH_SOP_CLASS, "C-STORE": CANNOT_UNDERSTAND}


def refusal(context: Context, asked: Command) -> Answer | None:
    """Why the request cannot be passed to a handler (PS3.7 annex C); None if it can."""
    if asked.verb not in _VERBS.get(context.abstract_syntax, _STORAGE_VERBS):
        return Answer(status=UNRECOGNIZED_OPERATION, comment="The SOP class has no such operation")
    if not asked.sop_class_uid:
        return Answer(status=NO_SUCH_SOP_CLASS, comment="The SOP Class UID is missing")
    if asked.sop_class_uid not in _CLASSES.get(context.abstract_syntax, (context.abstract_syntax,)):
        return Answer(status=SOP_CLASS_NOT_SUPPORTED, comment="Not the SOP class of the presentation context")
    if asked.verb in _WITHOUT_DATA_SET and not asked.has_data_set:
        return Answer(status=_WITHOUT_DATA_SET[asked.verb], comment="The data set is missing")
    return None


def encoded(answer: Answer, context: Context, asked: Command, longest: int) -> bytes:
    """The P-DATA-TF PDUs of one answer."""
    instance, data = _data_set(answer, context)
    head = command.response(
        asked, answer.status, bool(data), answer.comment, answer.error_id, answer.tags, instance or None
    )
    parts = [framing.p_data(context.id, head, True, longest)]
    if data:
        parts.append(framing.p_data(context.id, data, False, longest))
    return b"".join(parts)


class Encoder:
    """Encodes the answers to one query: of their command sets only the status differs."""

    def __init__(self, context: Context, asked: Command, longest: int) -> None:
        self._context, self._asked, self._longest = context, asked, longest
        self._heads: dict[int, bytes] = {}

    def pending(self, answer: Answer) -> tuple[bytes, bytes]:
        """An answer that is not the last: its command set and its data set, in P-DATA-TF PDUs."""
        head = self._heads.get(answer.status) or self._head(answer.status)
        data = answer.data or _data_set(answer, self._context)[1]
        return head, framing.p_data(self._context.id, data, False, self._longest)

    def last(self, answer: Answer) -> bytes:
        return encoded(answer, self._context, self._asked, self._longest)

    def _head(self, status: int) -> bytes:
        head = framing.p_data(self._context.id, command.response(self._asked, status, True), True, self._longest)
        return self._heads.setdefault(status, head)


def _data_set(answer: Answer, context: Context) -> tuple[str, bytes]:
    """The UID of an instance that the handler made, and the encoded data set."""
    if answer.dataset is None:
        return "", answer.data
    instance = str(answer.dataset.get("AffectedSOPInstanceUID", ""))
    attributes = Dataset({element.tag: element for element in answer.dataset if element.tag.group})
    if not attributes:
        return instance, b""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, context.transfer_syntax == "1.2.840.10008.1.2"
    write_dataset(buffer, attributes)
    return instance, buffer.getvalue()
