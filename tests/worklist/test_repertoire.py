"""Character sets: a name asked for and answered in each, read by pydicom and by DCMTK."""

import shutil
import subprocess
from dataclasses import replace

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st
from pydicom.charset import python_encoding
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from ris.models import Station
from ris.models.profile import ALONE, EXTENDING, character_set_fault
from tests import making
from worklist import identifier, mwl_answer
from worklist.activity import recorder
from worklist.encoding import decode
from worklist.models import TextLoss
from worklist.repertoire import CODE_SETS, Repertoire

NAMES = [
    ("ISO_IR 6", "Hopper^Grace"),
    ("ISO_IR 100", "Buc^Jérôme"),
    ("ISO_IR 100", "Äneas^Rüdiger"),
    ("ISO_IR 101", "Dvořák^Ludvík"),
    ("ISO_IR 109", "Ħamrun^Ġorġ"),
    ("ISO_IR 110", "Ķēniņš^Jānis"),
    ("ISO_IR 148", "Çelik^Ayşe"),
    ("ISO_IR 144", "Люкceмбypг^Пётр"),
    ("ISO_IR 126", "Διονυσιος^Άννα"),
    ("ISO_IR 127", "قباني^لنزار"),
    ("ISO_IR 138", "שרון^דבורה"),
    ("ISO_IR 166", "นามสกุล^ชื่อ"),
    ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    ("ISO 2022 IR 13\\ISO 2022 IR 87", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ("\\ISO 2022 IR 87\\ISO 2022 IR 159", "Yamada^Tarou=丂丄^太郎"),
    ("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동"),
    ("\\ISO 2022 IR 58", "Zhang^XiaoDong=张^小东"),
    ("ISO 2022 IR 100\\ISO 2022 IR 144", "Äneas^Пётр"),
    ("\\ISO 2022 IR 100\\ISO 2022 IR 126", "Müller^Άννα"),
    ("ISO_IR 192", "Wang^XiaoDong=王^小東=やまだ^홍"),
    ("GB18030", "Wang^XiaoDong=王^小东"),
    ("GBK", "Wang^XiaoDong=王^小东"),
]


def written(character_set: str, name: str) -> bytes:
    """A data set with a name, without pydicom's writer."""
    raw = Repertoire(character_set).encode(name)
    assert raw is not None, "cannot be written"
    raw += b" " * (len(raw) % 2)
    terms = Repertoire(character_set).value
    terms += b" " * (len(terms) % 2)
    head = b"\x08\x00\x05\x00CS" + len(terms).to_bytes(2, "little") + terms
    return head + b"\x10\x00\x10\x00PN" + len(raw).to_bytes(2, "little") + raw


@pytest.mark.parametrize(("character_set", "name"), NAMES)
def test_what_is_written_is_read_by_pydicom_and_by_us(character_set, name):
    """Exactly, group by group."""
    data = written(character_set, name)
    assert str(decode(data, False).PatientName) == name or "IR 58" in character_set  # pydicom leaves its escapes in
    (element,) = [one for one in identifier.read(data, False) if one.keyword == "PatientName"]
    assert element.values == (name,)


@pytest.mark.skipif(not shutil.which("dcmdump"), reason="DCMTK is not here")
@pytest.mark.parametrize(("character_set", "name"), NAMES)
def test_what_is_written_is_read_by_dcmtk(character_set, name, tmp_path):
    """dcmdump converts to UTF-8."""
    if "IR 87" in character_set:
        pytest.skip("DCMTK with the C library's iconv has no ISO 2022 IR 87: see the standard's examples")
    path = tmp_path / "name.dcm"
    body = written(character_set, name)
    meta = Dataset()
    meta.SOPClassUID, meta.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    meta.ensure_file_meta()
    meta.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dcmwrite(path, meta, enforce_file_format=True)
    head = path.read_bytes()
    uids = head.index(b"\x08\x00\x16\x00UI")
    terms_end = 8 + int.from_bytes(body[6:8], "little")
    path.write_bytes(head[:uids] + body[:terms_end] + head[uids:] + body[terms_end:])
    output = subprocess.run(["dcmdump", "+U8", "+P", "0010,0010", path], capture_output=True, check=True, timeout=30)
    assert f"[{name}]" in output.stdout.decode()


#: PS3.5 H.3.1, H.3.2 and I.2, byte for byte.
EXAMPLES = [
    (
        "\\ISO 2022 IR 87",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
    ),
    (
        "ISO 2022 IR 13\\ISO 2022 IR 87",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
    ),
    (
        "\\ISO 2022 IR 149",
        "Hong^Gildong=洪^吉洞=홍^길동",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
    ),
]


@pytest.mark.parametrize(("character_set", "name", "raw"), EXAMPLES)
def test_the_standards_examples(character_set, name, raw):
    """Japanese and Korean names as PS3.5 prints them."""
    assert Repertoire(character_set).encode(name) == raw


SETS = sorted({character_set for character_set, _name in NAMES})


@given(character_set=st.sampled_from(SETS), text=st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co"))))
def test_a_text_is_written_exactly_or_not_at_all(character_set, text):
    """Never something else: what pydicom and we read is what was written."""
    text = text.replace("\\", "/").replace("^", "").replace("=", "").strip()
    repertoire = Repertoire(character_set)
    raw = repertoire.encode(text)
    if raw is None:
        assert not text.isascii()
        return
    if "~" in text and "ISO 2022 IR 13" in character_set:  # JIS X 0201 has an overline there
        return
    data = b"\x08\x00\x05\x00CS" + (len(repertoire.value) + len(repertoire.value) % 2).to_bytes(2, "little")
    data += repertoire.value + b" " * (len(repertoire.value) % 2)
    raw += b" " * (len(raw) % 2)
    data += b"\x32\x00\x60\x10LO" + len(raw).to_bytes(2, "little") + raw
    if "IR 58" not in character_set:
        assert str(decode(data, False).RequestedProcedureDescription or "").strip() == text
    (element,) = [one for one in identifier.read(data, False) if one.keyword == "RequestedProcedureDescription"]
    assert "".join(element.values) == text


@pytest.mark.parametrize(
    ("character_set", "name", "expected"),
    [
        ("ISO_IR 100", "Dvořák^Ludvík", "Dvorak^Ludvik"),
        ("ISO_IR 100", "Yamada^Tarou=山田^太郎", "Yamada^Tarou"),
        ("ISO_IR 100", "山田^太郎", "??^??"),
        ("\\ISO 2022 IR 87", "Müller^Jürgen", "Muller^Jurgen"),
        ("ISO_IR 6", "Müller^Jürgen", "Muller^Jurgen"),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_written_is_replaced_and_reported(scanner, nothing_noted, character_set, name, expected):
    """Accents first, then ?, other groups left out; the station's page says which attribute of which step."""
    Station.objects.filter(ae_title="CT1").update(character_set=character_set)
    making.placed("1", patient=replace(making.GRACE, patient_name=name))
    (entry,) = scanner.find(PatientID="P100")
    assert entry.PatientName == expected
    recorder.write()
    loss = TextLoss.objects.get(keyword="PatientName")
    assert (loss.station.ae_title, loss.character_set) == ("CT1", character_set)


@pytest.mark.parametrize(("character_set", "name"), [row for row in NAMES if "IR 58" not in row[0]])
@pytest.mark.django_db(transaction=True)
def test_a_name_goes_round(scanner, character_set, name):
    """Asked for in UTF-8 and answered in the station's set; asked for in the station's set again."""
    Station.objects.filter(ae_title="CT1").update(character_set=character_set)
    making.placed("1", patient=replace(making.GRACE, patient_name=name))
    (entry,) = scanner.find(character_set="ISO_IR 192", PatientName=name.split("=")[0])
    assert entry.PatientName == name
    asked = identifier.read(written(character_set, name), False)
    assert len(list(mwl_answer.asked(asked).keys)) == 1
    (again,) = scanner.query(decode(written(character_set, name.split("=")[-1]), False))
    assert again.PatientName == name


@pytest.mark.parametrize(
    "value", [*sorted(ALONE), "ISO 2022 IR 100", "\\ISO 2022 IR 87", "ISO 2022 IR 6\\ISO 2022 IR 149"]
)
def test_sets_that_stations_may_have(value):
    """PS3.3 C.12.1.1.2."""
    assert character_set_fault(value) == ""


@pytest.mark.parametrize(
    "value",
    [
        "",
        "UTF-8",
        "ISO_IR 100\\ISO 2022 IR 87",
        "ISO 2022 IR 87",
        "\\ISO_IR 192",
        "\\",
        "\\\\ISO 2022 IR 87",
        "ISO 2022 IR 87\\ISO 2022 IR 100",
        "\\ISO 2022 IR 87\\ISO 2022 IR 87",
        "ISO_IR 192\\",
        "ISO_IR 999",
    ],
)
@pytest.mark.django_db
def test_sets_that_stations_may_not_have(value):
    """A sentence in the admin, not a question mark on the scanner."""
    assert character_set_fault(value)
    with pytest.raises(ValidationError):
        Station(ae_title="X", modality="CT", character_set=value).full_clean(validate_unique=False)


def test_every_set_that_stations_may_have_can_be_written():
    """The model's table, which knows no pydicom, names what this package writes."""
    assert set(python_encoding) >= ALONE
    assert EXTENDING - {"ISO 2022 IR 6"} == set(CODE_SETS)
