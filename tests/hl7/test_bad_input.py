"""Bad input over a real connection, and what it is answered (reliability.md, table E: the rows of the wire)."""

import pytest

from hl7.framing import frame
from hl7.models import Feed, InboundMessage
from ris.models import Order, Patient
from tests.hl7.conftest import message, order
from tests.hl7.test_mllp import answers

pytestmark = pytest.mark.django_db(transaction=True)


def answered(connection, raw: bytes) -> tuple[str | None, str | None]:
    """MSA-1 and the condition of ERR-3."""
    connection.sendall(frame(raw))
    answer = answers(connection, 1)[0]
    return answer.value("MSA-1"), answer.value("ERR-3.1")


@pytest.mark.parametrize(
    "raw",
    [
        order(control_id="BIG") + b"NTE|1||" + b"x" * 2_000_000 + b"\r",
        message(*["NTE|1||x"] * 20_000, control_id="BIG"),
        message("PID|||" + "~".join(["1"] * 20_000), control_id="BIG"),
    ],
    ids=["2 MB", "20,000 segments", "20,000 repetitions"],
)
def test_98_what_is_too_large_is_rejected(wire, raw):
    """AR for what is over a limit, and nothing is done."""
    assert answered(wire(), raw) == ("AR", "207")
    assert not Order.objects.exists()


def test_98_a_document_of_5_mb_is_taken_whole(wire):
    """An ORU is kept with all of its bytes, and what it is answered is not about its size."""
    raw = order(kind="ORU^R01", control_id="PDF") + b"OBX|1|ED|PDF||^application^pdf^Base64^" + b"A" * 5_000_000 + b"\r"
    assert answered(wire(), raw)[1] != "207"
    assert bytes(InboundMessage.objects.get().raw) == raw


@pytest.mark.parametrize(
    ("number", "raw"),
    [
        (99, order().replace(b"\r", b"\n")),
        (99, order().replace(b"\r", b"\r\n")),
        (99, b"\xef\xbb\xbf" + order()),
        (99, order().replace(b"\r", b"\r    ")),
        (102, order(version="2.9")),
        (102, order(version="")),
        (103, order().replace(b"|P|2.5.1", b"|T|2.5.1")),
        (105, order()),
        (105, order(charset="KLINGON")),
        (105, order(charset="8859/1").replace(b"Sample", b"M\xc3\xbcller")),
        (106, order(obr="X\\X0D\\\\.br\\\\T\\Y^X-ray^L")),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
def test_what_is_odd_but_clear_is_taken(wire, number, raw):
    """AA: line ends, byte order mark, indents, versions, MSH-11, character sets that are missing, unknown or wrong."""
    assert answered(wire(), raw)[0] == "AA"
    assert Order.objects.count() == 1 and bytes(InboundMessage.objects.get().raw) == raw


@pytest.mark.parametrize(
    ("charset", "codec", "name"),
    [
        ("GB 18030-2000", "gb18030", "王小东"),
        ("CP1250", "cp1250", "Żółć"),
        ("UNICODE UTF-8", "utf-8-sig", "Ünal"),
        ("8859/15", "iso8859-15", "Œuvre"),
        ("~ISO IR87", "iso2022_jp", "山田"),
        ("KS X 1001", "euc_kr", "김희중"),
    ],
)
def test_105_names_come_through_in_every_character_set(wire, charset, codec, name):
    """As MSH-18 says, also behind a byte order mark; the answer is in the same set."""
    raw = order(charset=charset, codec=codec).decode(codec).replace("Sample^Grace", name).encode(codec)
    assert answered(wire(), raw)[0] == "AA"
    assert Patient.objects.get().patient_name == name


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
def test_105_utf_16_is_rejected_with_its_control_id(wire, codec):
    """MLLP cannot carry it (its bytes may be the framing's); the sender is told."""
    connection = wire()
    connection.sendall(frame(order(control_id="WIDE").decode().encode(codec)))
    answer = answers(connection, 1)[0]
    assert (answer.value("MSA-1"), answer.value("MSA-2")) == ("AR", "WIDE") and "UTF-8" in str(answer)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (order(kind="QRY^A19"), ("AR", "200")),
        (order(kind="ORM^O99"), ("AR", "201")),
        (order(kind=""), ("AR", "200")),
    ],
    ids=["101 type", "101 event", "101 none"],
)
def test_what_is_not_taken_is_rejected(wire, raw, expected):
    """AR with the condition of table 0357; kept all the same."""
    assert answered(wire(), raw) == expected
    assert InboundMessage.objects.count() == 1 and not Order.objects.exists()


@pytest.mark.parametrize("control_id", ["", '""'])
def test_100_an_empty_control_id_by_the_feeds_policy(wire, feed, control_id):
    """AR 101 as row 100 says; the lenient preset takes it by its content, since three of the samples have none."""
    connection = wire()
    assert answered(connection, order(control_id=control_id))[0] == "AA"
    Feed.objects.update(preset="ihe_2_5_1")
    assert answered(connection, order(control_id=control_id)) == ("AR", "101")
    assert Order.objects.count() == 1


@pytest.mark.parametrize(
    ("version", "meant"),
    [("2.9", "2.8.2"), ("", "2.3"), ("2.5.2", "2.5.1"), ("3", "2.3"), ("x", "2.3"), ("2.5^DEU", ""), ("2.3.1", "")],
)
def test_102_an_unknown_version_by_the_feeds_policy(wire, feed, version, meant):
    """Read as the nearest, which is told; or AR 203."""
    connection = wire()
    connection.sendall(frame(order(version=version)))
    answer = answers(connection, 1)[0]
    assert answer.value("MSA-1") == "AA" and (f"{meant} is meant" in str(answer)) == bool(meant)
    Feed.objects.update(preset="ihe_2_3_1")
    connection.sendall(frame(order(version=version)))
    refused = answers(connection, 1)[0]
    condition = refused.value("ERR-3.1") or refused.value("ERR-1.4.1")
    assert (refused.value("MSA-1") == "AR") == bool(meant) == (condition == "203")


def test_105_bytes_outside_the_character_set_by_the_feeds_policy(wire, feed):
    """Replaced and told, or AE 102 with the raw message kept."""
    connection, raw = wire(), order(charset="UNICODE UTF-8").replace(b"Sample", b"M\xfcller")
    assert answered(connection, raw)[0] == "AA"
    assert Patient.objects.get().patient_name == "M\ufffdller^Grace"
    feed.mapping = {"policies": {"undecodable": "refuse"}}
    feed.save()
    other = raw.replace(b"P100", b"P101").replace(b"||ORM", b"|1|ORM")
    connection.sendall(frame(other))
    answer = answers(connection, 1)[0]
    assert (answer.value("MSA-1"), answer.value("ERR-2")) == ("AE", "MSH^1^18")
    assert bytes(InboundMessage.objects.latest("id").raw) == other


def test_103_training_messages_on_a_production_feed_are_rejected(wire, feed):
    """AR 202, where the feed says so."""
    Feed.objects.update(processing_id="P")
    connection = wire()
    assert answered(connection, order().replace(b"|P|2.5.1", b"|T|2.5.1")) == ("AR", "202")
    assert answered(connection, order())[0] == "AA"


def test_104_an_unknown_sender_is_rejected(wire, feed):
    """AR 103; kept without a feed."""
    Feed.objects.update(sending_application="EPIC")
    assert answered(wire(), order()) == ("AR", "103")
    assert InboundMessage.objects.get().feed is None


def test_94_95_the_same_control_id(wire):
    """The same bytes are given the stored answer; other content is rejected."""
    connection, raw = wire(), order(control_id="SAME")
    connection.sendall(frame(raw) * 2)
    first, second = answers(connection, 2)
    assert str(first) == str(second)
    assert answered(connection, order(placer="P2", control_id="SAME")) == ("AR", "205")
    assert Order.objects.count() == 1
