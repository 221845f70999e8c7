"""Acknowledgments (HL7 v2.5.1 2.9.2, 2.13.1): what is answered, and the one table from a refusal to MSA-1 and ERR."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from django.utils import timezone

from hl7.er7 import escape
from hl7.header import Header
from ris import errors
from ris.errors import Refusal

#: Table 0357, message error condition codes.
CONDITIONS = {
    "0": "Message accepted",
    "100": "Segment sequence error",
    "101": "Required field missing",
    "102": "Data type error",
    "103": "Table value not found",
    "200": "Unsupported message type",
    "201": "Unsupported event code",
    "202": "Unsupported processing id",
    "203": "Unsupported version id",
    "204": "Unknown key identifier",
    "205": "Duplicate key identifier",
    "206": "Application record locked",
    "207": "Application internal error",
}
#: MSA-3 is ST with 80 characters from v2.5 on, where ERR-8 carries the whole sentence.
_MSA_3_LENGTH = 80
_ERR_8_LENGTH = 250
_INTERNAL = "207"
_AS_IT_IS: Mapping[str, str] = {}
_POSITIVE = ("AA", "CA")


class FieldRefused(Refusal):
    """Something in one field cannot be used. ``location`` is written like ERR-2: ``PID^1^3``."""

    def __init__(self, condition: str, location: str, sentence: str) -> None:
        self.condition, self.location = condition, location
        super().__init__(sentence)


class MessageRejected(FieldRefused):
    """The message as such is not taken (MSA-1 AR): its type, its sender, its form."""


#: What the domain refuses -> MSA-1 and the condition of table 0357. A subclass is found by its nearest ancestor.
ANSWERS: dict[type[Refusal], tuple[str, str]] = {
    errors.UnknownOrder: ("AE", "204"),
    errors.UnknownPerformedStep: ("AE", "204"),
    errors.DuplicatePerformedStep: ("AE", "205"),
    errors.PerformedStepIsFinal: ("AE", "206"),
    errors.TransitionNotAllowed: ("AE", "206"),
    errors.OrderNumberTaken: ("AE", "205"),
    errors.OrderOfOtherPatient: ("AE", "205"),
    errors.MergeNotPossible: ("AE", "205"),
    errors.IdentifierTaken: ("AE", "205"),
    errors.InvalidIdentifier: ("AE", "102"),
    errors.IncompleteRequest: ("AE", "101"),
    errors.RoomCannotPerform: ("AE", "103"),
}
#: What IncompleteRequest calls a field -> where HL7 carries it.
_LOCATIONS = {
    "patient_id": "PID^1^3",
    "retired patient_id": "MRG^1^1",
    "placer_order_number": "ORC^1^2",
}


@dataclass(frozen=True)
class Verdict:
    """What becomes of a message: MSA-1, the condition of table 0357, where, and why. AA may carry warnings."""

    code: str
    sentence: str = ""
    condition: str = "0"
    location: str = ""
    warnings: tuple[str, ...] = ()


def refusal(error: Refusal) -> Verdict:
    """The verdict for something refused."""
    if isinstance(error, FieldRefused):
        code = "AR" if isinstance(error, MessageRejected) else "AE"
        return Verdict(code, str(error), error.condition, error.location)
    code, condition = next(ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS)
    return Verdict(code, str(error), condition, _LOCATIONS.get(getattr(error, "field", ""), ""))


def accepted(warnings: Sequence[str] = ()) -> Verdict:
    """AA. Warnings say what the sender should know although the message was carried out."""
    return Verdict("AA", "; ".join(warnings), warnings=tuple(warnings))


INTERNAL_ERROR = Verdict("AE", "Sunview could not process this message; it is kept for its administrator", "207")


def build(header: Header, verdict: Verdict, codec: str, codes: Mapping[str, str] = _AS_IT_IS) -> bytes:
    """The acknowledgment, in the delimiters, character set and version of the message that it answers.

    ``codes`` says which MSA-1 this sender is to be given instead of AA or AE.

    ``header`` holds bytes as Latin-1, so that what is echoed, above all MSA-2, is the sender's bytes whatever they are.
    """
    sentences = (verdict.sentence, *verdict.warnings)
    sentence, *warnings = (text.encode(codec, "replace").decode("latin-1") for text in sentences)
    verdict = replace(verdict, sentence=sentence, warnings=tuple(warnings))
    segments = [_msh(header), _msa(header, verdict, codes), *_errs(header, verdict)]
    sign = header.separators.field
    return "".join(sign.join(fields).rstrip(sign) + "\r" for fields in segments).encode("latin-1")


def _msh(header: Header) -> list[str]:
    fields = {
        2: str(header.separators),
        3: header[5],
        4: header[6],
        5: header[3],
        6: header[4],
        7: timezone.localtime().strftime("%Y%m%d%H%M%S%z"),
        9: _message_type(header),
        10: uuid.uuid4().hex[:20],
        11: header[11] or "P",
        12: header[12] or "2.3",
        18: header[18],
    }
    return ["MSH", *(fields.get(number, "") for number in range(2, 19))]


def _message_type(header: Header) -> str:
    """``ACK^event^ACK`` from v2.4 on (MSH-9.3 is a component since then)."""
    parts = ["ACK", header.component(9, 2), *(["ACK"] if header.version >= (2, 4) else [])]
    return header.separators.component.join(parts).rstrip(header.separators.component)


def _msa(header: Header, verdict: Verdict, codes: Mapping[str, str]) -> list[str]:
    sentence = verdict.sentence
    code = verdict.code if verdict.condition == _INTERNAL else codes.get(verdict.code, verdict.code)
    if header.version >= (2, 5) and len(sentence) > _MSA_3_LENGTH:
        sentence = sentence[: _MSA_3_LENGTH - 3] + "..."
    return ["MSA", code, header[10], escape(sentence, header.separators)]


def _errs(header: Header, verdict: Verdict) -> list[list[str]]:
    if header.version < (2, 5):
        return [] if verdict.code in _POSITIVE else [["ERR", _old_location(header, verdict)]]
    if verdict.code in _POSITIVE:
        return [_err(header, verdict, "W", warning) for warning in verdict.warnings]
    return [_err(header, verdict, "E", verdict.sentence)]


def _err(header: Header, verdict: Verdict, severity: str, sentence: str) -> list[str]:
    """ERR of v2.5 and later: location, condition, severity, and the whole sentence."""
    location = verdict.location.replace("^", header.separators.component)
    text = escape(sentence[:_ERR_8_LENGTH], header.separators)
    return ["ERR", "", location, _condition(header, verdict, header.separators.component), severity, "", "", "", text]


def _old_location(header: Header, verdict: Verdict) -> str:
    """ERR-1 before v2.5: segment, sequence, field, and the condition as subcomponents."""
    parts = [*verdict.location.split("^"), "", "", ""][:3]
    condition = _condition(header, verdict, header.separators.subcomponent or " ")
    return header.separators.component.join([*parts, condition])


def _condition(header: Header, verdict: Verdict, sign: str) -> str:
    return sign.join((verdict.condition, CONDITIONS[verdict.condition], "HL70357"))
