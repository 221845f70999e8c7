"""Acknowledgments and the table from refusals to MSA-1 and ERR."""

import pytest

from hl7 import ack
from hl7.ack import ANSWERS, CONDITIONS, FieldRefused, MessageRejected, Verdict
from hl7.er7 import Message
from ris.errors import IncompleteRequest, Refusal, TransitionNotAllowed, UnknownOrder
from tests.hl7.conftest import header, message


def build(verdict: Verdict, **msh: str) -> Message:
    return Message.parse(ack.build(header(message("PID|||1", **msh)), verdict, "utf-8"))


def every_refusal(kind: type[Refusal] = Refusal) -> list[type[Refusal]]:
    return [kind, *(deeper for child in kind.__subclasses__() for deeper in every_refusal(child))]


@pytest.mark.parametrize("kind", every_refusal()[1:])
def test_every_refusal_has_an_answer(kind):
    """No refusal of the domain reaches the wire without MSA-1 and a condition of table 0357."""
    if issubclass(kind, FieldRefused):
        return
    code, condition = next(ANSWERS[base] for base in kind.__mro__ if base in ANSWERS)
    assert code in ("AE", "AR") and condition in CONDITIONS and condition != "0"


def test_the_answer_goes_back_to_the_sender():
    """Applications swapped, MSA-2 and the version are the sender's, MSH-9 names the event."""
    answer = build(ack.accepted(), control_id="4711")
    assert [answer.value(f"MSH-{number}") for number in (3, 4, 5, 6)] == ["SUNVIEW", "SUNVIEW", "HIS", "WARD"]
    assert answer.value("MSA-1") == "AA" and answer.value("MSA-2") == "4711"
    assert answer.value("MSH-9") == "ACK^O01^ACK" and answer.value("MSH-12") == "2.5.1"
    assert answer["ERR"] is None


@pytest.mark.parametrize(("version", "kind"), [("2.2", "ACK^O01"), ("2.3.1", "ACK^O01"), ("2.4", "ACK^O01^ACK")])
def test_the_message_type_is_of_the_version(version, kind):
    """MSH-9.3 is there since v2.4."""
    assert build(ack.accepted(), version=version).value("MSH-9") == kind


def test_a_refusal_names_field_code_and_reason_in_err():
    """v2.5: ERR-2, ERR-3, ERR-4, and the whole sentence in ERR-8, cut to 80 characters in MSA-3."""
    sentence = "ORC-2 is empty, and " + "so on " * 20
    answer = build(ack.refusal(FieldRefused("101", "ORC^1^2", sentence)))
    assert answer.value("MSA-1") == "AE"
    assert answer.value("ERR-2") == "ORC^1^2"
    assert answer.value("ERR-3") == "101^Required field missing^HL70357"
    assert answer.value("ERR-4") == "E"
    assert answer.value("ERR-8") == sentence.strip()
    assert len(answer.value("MSA-3") or "") <= 80


def test_before_v2_5_the_sentence_stands_in_msa_3():
    """And ERR-1 has the place and the code."""
    sentence = "ORC-2 is empty, and " + "so on " * 20
    answer = build(ack.refusal(FieldRefused("101", "ORC^2^2", sentence)), version="2.3.1")
    assert answer.value("MSA-3") == sentence.strip()
    assert answer.value("ERR-1") == "ORC^2^2^101&Required field missing&HL70357"


def test_an_aa_can_carry_warnings():
    """Severity W: carried out, but the sender should know."""
    answer = build(ack.accepted(["no start time", "no modality"]))
    assert answer.value("MSA-1") == "AA" and answer.value("MSA-3") == "no start time; no modality"
    errs = [segment for segment in answer.segments if segment.name == "ERR"]
    assert [(err.value(4), err.value(8)) for err in errs] == [("W", "no start time"), ("W", "no modality")]


def test_rejections_are_ar():
    """What concerns the message as such is AR, what concerns its content AE."""
    assert ack.refusal(MessageRejected("200", "MSH^1^9", "no")).code == "AR"
    assert ack.refusal(UnknownOrder("no")).code == "AE"
    assert ack.refusal(TransitionNotAllowed("STARTED", "cancel", "Step 1")).code == "AE"
    assert ack.refusal(IncompleteRequest("patient_id", "no")).location == "PID^1^3"


def test_the_answer_uses_the_senders_delimiters_and_bytes():
    """Other delimiters, and a control ID that is not ASCII, are given back as they came."""
    raw = "MSH$%*\\&$Häus$B$$$1$$ORM%O01$é|7$P$2.5$$$$$$8859/1".encode("latin-1")
    answer = ack.build(header(raw), ack.accepted(["a|b$c"]), "iso8859-1")
    assert b"MSA$AA$\xe9|7$a|b\\F\\c\r" in answer
    assert answer.startswith(b"MSH$%*\\&$$$H\xe4us$B$") and b"$ACK%O01%ACK$" in answer


def test_a_sentence_cannot_bring_a_segment_in():
    """Line ends in a sentence become blanks."""
    answer = build(ack.refusal(FieldRefused("102", "", "bad\rPID|||evil")))
    assert answer["PID"] is None
