"""The lossless ER7 reader."""

import pytest
from hl7apy.parser import parse_message
from hypothesis import given
from hypothesis import strategies as st

from hl7.er7 import MAX_REPETITIONS, MAX_SEGMENTS, Message, escape, read_path, unescape
from hl7.header import Er7Error, Header, Separators
from tests.hl7.conftest import message, order

MSH = "MSH|^~\\&|HIS|WARD|||20261122||ADT^A08|1|P|2.5"


def read(*segments: str, end: str = "\r", head: str = MSH) -> Message:
    return Message.parse(end.join((head, *segments)).encode())


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\r    ", "\n\n"])
def test_any_line_ends_are_read(end):
    """CR, LF, CRLF, empty lines and indented segments (#037) give the same segments."""
    read_message = read("PID|||1", "PV1||O", end=end)
    assert [segment.name for segment in read_message.segments] == ["MSH", "PID", "PV1"]
    assert read_message.value("PID-3") == "1"


def test_a_line_that_is_no_segment_belongs_to_the_one_before():
    """A raw line end inside a text does not lose the rest of it."""
    assert read("NTE|1||first\nsecond line", "PID|||1").value("NTE-3") == "first\nsecond line"


def test_parts_are_found_by_path():
    """Field, repetition, component, subcomponent; None beyond the end."""
    pid = read("PID|||A^^^X&1.2&ISO^MR~B^^^Y||Fam&Own^Giv")
    assert pid.value("PID-3(2).1") == "B"
    assert pid.value("PID-3.4.2") == "1.2"
    assert pid.value("PID-5.1") == "Fam&Own" and pid.value("PID-5.1.1") == "Fam"
    assert pid.value("PID-3") == "A^^^X&1.2&ISO^MR"
    assert pid.value("PID-30.2") is None and pid.value("ZZZ-1") is None and pid.value("PID-3(9).1") is None


def test_msh_counts_its_own_separator():
    """MSH-1 is the field separator and MSH-2 the encoding characters."""
    read_message = read("PID|||1")
    assert read_message.value("MSH-9.2") == "A08"
    assert read_message.header[10] == "1"


def test_the_explicit_null_is_not_the_empty_field():
    """``""`` says empty; nothing says nothing."""
    pid = read('PID|||""||""^""|X')
    assert pid.value("PID-3.1") == "" and pid.value("PID-5.1") == "" and pid.value("PID-7") is None


def test_bad_paths_are_our_own_fault():
    """A mistyped path in a mapping is found at once."""
    with pytest.raises(ValueError, match="not an HL7 path"):
        read_path("PID.3")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"A\F\B\S\C\T\D\R\E\E\F", "A|B^C&D~E\\F"),
        (r"one\.br\two", "one\ntwo"),
        (r"\H\bold\N\ text", "bold text"),
        (r"ISO \XC7\\XC3\O", "ISO ÇÃO"),
        (r"**BSV 4\5 re.", r"**BSV 4\5 re."),
        (r"\X4\ and \Q\ and \\", r"\X4\ and \Q\ and \\"),
    ],
)
def test_escapes_are_read_and_what_is_none_is_left(text, value):
    """Also hexadecimal bytes of the message's character set (#008) and a lone backslash (#055)."""
    assert unescape(text, Separators(), "iso8859-1") == value


def test_an_unescaped_delimiter_does_not_divide():
    r"""``\S\`` within a component stays within it."""
    assert read(r"PID|||1||O\S\Neil^Ann").value("PID-5.1") == "O^Neil"


@given(st.text(alphabet="|^~\\&ABXF.br\r\n\x1b é", max_size=40))
def test_escaping_and_reading_give_the_text_back(text):
    """Nothing that was put in as a value can become structure; control characters become blanks."""
    separators = Separators()
    raw = escape(text, separators)
    assert not set("|^~&\r\n") & set(raw)
    assert unescape(raw, separators) == "".join(char if char.isprintable() else " " for char in text)


@pytest.mark.parametrize(
    ("head", "path", "value"),
    [
        ("MSH|^~|A|B|||1||ADT^A08|1|P|2.5", "PID-3.4.2", "1.2"),
        ("MSH|^~\\&#|A|B|||1||ADT^A08|1|P|2.5", "PID-3.4.2", "1.2"),
        ("MSH$%*\\&$A$B$$$1$$ADT%A08$1$P$2.5", "PID-3.1", "A%"),
    ],
)
def test_msh_2_is_taken_as_sent(head, path, value):
    """Short (#032), with a truncation character, or other delimiters."""
    pid = "PID$$$A\\S\\" if "$" in head else "PID|||A^^^X&1.2"
    assert read(pid, head=head).value(path) == value


@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        ("UNICODE UTF-8", "utf-8"),
        ("UTF-8", "utf-8"),
        ("UNICODE", "utf-8"),
        ("8859/1", "iso8859-1"),
        ("8859/15", "iso8859-15"),
        ("ISO8859-2", "iso8859-2"),
        ("CP1250", "cp1250"),
        ("WINDOWS-1252", "cp1252"),
        ("GB 18030-2000", "gb18030"),
        ("~ISO IR87", "iso2022_jp_ext"),
        ("ISO_IR 100", "iso8859-1"),
        ("ISO_IR 192", "utf-8"),
        ("CP850", "cp850"),
        ("GBK", "gb18030"),
        ("", ""),
        ("KLINGON", "unknown"),
    ],
)
def test_character_sets_by_their_names_in_the_wild(charset, codec):
    """Table 0211 and what is written instead."""
    found = Header.find(f"MSH|^~\\&|A|B|||1||ADT^A08|1|P|2.5||||||{charset}".encode())
    assert found is not None and found.codec == codec


def test_japanese_is_decoded_before_it_is_split():
    """In ISO-2022-JP the bytes of a kanji can equal ``|`` and ``^`` (#067)."""
    name = "灼^期"
    raw = message(f"PID|||1||{name}", charset="~ISO IR87", codec="iso2022_jp")
    assert b"<^" in raw and b"4|" in raw
    parsed = Message.parse(raw)
    assert parsed.value("PID-5.1") == "灼" and parsed.value("PID-5.2") == "期"


def test_a_byte_outside_the_character_set_is_replaced_and_told():
    """A wrong byte in one name does not keep an order out."""
    parsed = Message.parse(message("PID|||1||Kópa", codec="latin-1", charset="UTF-8"))
    assert parsed.value("PID-5.1") == "K\ufffdpa"
    assert parsed.warnings == ["Bytes outside the character set UTF-8 were replaced"]


def test_utf_8_under_a_latin_1_flag_is_read_as_what_it_is():
    """A lying MSH-18 is told, and the name comes out right (#001)."""
    parsed = Message.parse(message("PID|||1||Núñez – Ana", charset="8859/1"))
    assert parsed.value("PID-5.1") == "Núñez – Ana" and parsed.warnings


def test_a_byte_order_mark_is_borne():
    """A message from a text file."""
    assert Message.parse(b"\xef\xbb\xbf" + message("PID|||1")).value("PID-3.1") == "1"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hello",
        b"PID|||1\rMSH|^~\\&|A",
        b"FHS|^~\\&|A\r" + message("PID|||1"),
        message("PID|||1") + message("PID|||2"),
        b"MSHxyz|",
        b"MSH|^^^^|A",
        message(*["NTE|1||x"] * (MAX_SEGMENTS + 1)),
        message("PID|||" + "1~" * (MAX_REPETITIONS + 1)),
    ],
)
def test_what_is_not_one_message_is_refused(raw):
    """No MSH, batches, several messages, broken delimiters, hostile sizes."""
    with pytest.raises(Er7Error):
        Message.parse(raw)


@given(st.binary(max_size=300))
def test_any_bytes_raise_nothing_else(tail):
    """Whatever follows MSH: a message that reads back as it was decoded, or Er7Error."""
    raw = b"MSH|^~\\&|A|B|||1||ADT^A08|1|P|2.5\r" + tail
    try:
        parsed = Message.parse(raw)
    except Er7Error:
        return
    assert str(parsed) == raw.decode("utf-8", "replace")
    for segment in parsed.segments:
        assert all(segment.value(number, 1, 1, 1) is not False for number in range(8))


@given(st.binary(max_size=200))
def test_any_bytes_at_all_raise_nothing_else(raw):
    """Also without a good beginning."""
    try:
        Message.parse(raw)
    except Er7Error as error:
        assert str(error)


def test_hl7apy_reads_the_same():
    """The oracle: where hl7apy can read a message, its fields are ours."""
    raw = order(accession="A1")
    ours, theirs = Message.parse(raw), parse_message(raw.decode(), find_groups=False)
    for segment in theirs.children:
        mine = ours[segment.name]
        assert mine is not None
        for child in segment.children:
            number = int(child.name.split("_")[1])
            assert mine.field(number) == child.to_er7(), child.name
