"""A table of queries with known answers over a score of invented entries, asked purely and through an association.

An entry is known by its placer order number, a letter. ``CT1`` of the department Radiology asks; ``MG9`` is another
department's.
"""

from datetime import UTC, datetime

import pytest
from pydicom.dataset import Dataset

from ris.inputs import Code, Identifier, PatientIdentity, VisitInfo
from ris.models import Department, Order, ScheduledProcedureStep, Station, StationAlias
from tests import making
from tests.worklist import test_mwl
from worklist import identifier, matching, mwl
from worklist import view as views
from worklist.keys import STEP_BY_KEYWORD, STEP_SEQUENCE
from worklist.stations import profiles
from worklist.status import Failure
from worklist.view import View

#: letter, name, patient ID, sex, birth date, stations, start (UTC; the site is in Dublin), physician who performs
ENTRIES = """
A | Müller^Jürgen                          | P-1   | M | 19500101 | CT1      | 2026-11-23 00:00 | House^Gregory
B | Muller^Anna                            | P-2   | F | 19600229 | CT1      | 2026-11-23 09:00 |
C | MÜLLER^ÖZGE                            | p-2   | F | 19700315 | CT1\\CT2 | 2026-11-23 23:59 | HOUSE^Gregory
D | DOE^JOHN                               | P_3   | M | 19800101 | CT2      | 2026-11-24 00:00 |
E | DOE^JANE^MARY^DR^PHD                   | P%3   | F | 19800102 | CT2      | 2026-11-24 10:30 | Wilson^James
F | DOERING^JIM                            | P*3   | M | 19811231 | MR1      | 2026-11-24 10:45 |
G | DOE                                    | PX3   | O |          | MR1      | 2026-11-25 08:00 |
H | Yamada^Tarou=山田^太郎=やまだ^たろう   | P8    | M | 19770707 | MR1      | 2026-11-25 12:00 |
I | Hong^Gildong=洪^吉洞=홍^길동           | P9    | M | 19660606 | XRAY1    | 2026-11-26 12:00 |
J | O'Brien-Smith^Mary Ann                 | P10   | F | 19550505 | XRAY1    | 2026-11-26 12:00 |
K | Under_score^Percent%                   | P11   |   | 19440404 | XRAY2    | 2026-11-26 12:01 |
L | Star[a]^Que.ry                         | P12   | F | 19330303 | XRAY2    | 2026-07-01 22:30 |
M | Люкceмбypг^Пётр                        | P13   | M | 19220202 | US1      | 2026-10-25 00:30 |
N | Διονυσιος^Άννα                         | P14   | F | 19880808 | US1      | 2026-10-25 01:30 |
O | قباني^لنزار                            | P15   | M | 19990909 | US1      | 2026-03-29 00:30 |
P | Strauß^Weiß                            | P16   | M | 20001010 | MG1      | 2026-03-29 01:30 |
Q | van der Berg^Jan                       | P17   | M | 20101111 | MG1      | 2026-12-31 23:30 |
R | 김^희중                                | P18   | F | 20201212 | MG1      | 2027-01-01 00:30 |
S |                                        | P19   |   |          | XRAY1    | 2027-01-02 08:00 |
T | Other^Department                       | P20   | F | 19500101 | MG9      | 2026-11-23 09:00 |
U | Zwei^Abteilungen                       | P21   | F | 19500101 | CT1\\MG9 | 2027-02-01 09:00 |
"""
EVERYONE = "ABCDEFGHIJKLMNOPQRSU"
MODALITIES = {"CT": "CT", "MR": "MR", "XR": "DX", "US": "US", "MG": "MG"}

#: What is asked, as ``Keyword=value`` with spaces around ``&`` between keys, and the letters that are answered.
QUERIES = """
PatientName=                                            | ABCDEFGHIJKLMNOPQRSU
PatientName=*                                           | ABCDEFGHIJKLMNOPQRSU
PatientName=**                                          | ABCDEFGHIJKLMNOPQRSU
PatientName=DOE                                         | G
PatientName=DOE^                                        | G
PatientName=doe^^^^                                     | G
PatientName=DOE*                                        | DEFG
PatientName=DOE^*                                       | DE
PatientName=DOE^J*                                      | DE
PatientName=doe^j*                                      | DE
PatientName=DOE^JOHN                                    | D
PatientName=DOE^JOHN^^^                                 | D
PatientName=DOE^JOHN*                                   | D
PatientName=DOE^J?HN                                    | D
PatientName=DOE^J??N                                    | D
PatientName=DOE^J?N                                     |
PatientName=D?E^J*                                      | DE
PatientName=*^J*                                        | ADEFQ
PatientName=DOE^JANE^MARY                               |
PatientName=DOE^JANE^MARY^DR^PHD                        | E
PatientName=DOE^JANE^M*                                 | E
PatientName=*DR*                                        | E
PatientName=JOHN                                        |
PatientName=Müller^Jürgen                               | A
PatientName=muller^jurgen                               | A
PatientName=MULLER*                                     | ABC
PatientName=Mu?ler^*                                    | ABC
PatientName=m*l*r^*                                     | ABC
PatientName=*özge                                       | C
PatientName=Yamada^Tarou                                | H
PatientName=yamada*                                     | H
PatientName=山田^太郎                                   | H
PatientName=山田*                                       | H
PatientName=山?^太郎                                    | H
PatientName=やまだ^たろう                               | H
PatientName=Yamada^Tarou=山田^太郎=やまだ^たろう        | H
PatientName=Yamada^Tarou=山田^太郎                      | H
PatientName=Yamada^Tarou=田中^太郎                      |
PatientName==山田*                                      | H
PatientName===やまだ*                                   | H
PatientName=Yamada*=*                                   | H
PatientName=홍^*                                        | I
PatientName=홍^길?                                      | I
PatientName=洪^吉洞                                     | I
PatientName=김^*                                        | R
PatientName=?^희중                                      | R
PatientName=O'Brien*                                    | J
PatientName=o'brien-smith^mary ann                      | J
PatientName=*smith*                                     | J
PatientName=O'Brien* OR 1=1                             |
PatientName=%                                           |
PatientName=_                                           |
PatientName=*%*                                         | K
PatientName=*_*                                         | K
PatientName=Under_score^Percent%                        | K
PatientName=Under?score*                                | K
PatientName=Star[a]*                                    | L
PatientName=Stara*                                      |
PatientName=*[*                                         | L
PatientName=*.*                                         | L
PatientName=*^Que.ry                                    | L
PatientName=Люкc*                                       | M
PatientName=люкc*^пётр                                  | M
PatientName=ΔΙΟΝΥΣΙΟΣ^ΆΝΝΑ                              | N
PatientName=διονυσιος^αννα                              | N
PatientName=قباني^*                                     | O
PatientName=Strauß^Weiß                                 | P
PatientName=STRAUSS^WEISS                               | P
PatientName=strauss*                                    | P
PatientName=van der Berg*                               | Q
PatientName=Van Der*                                    | Q
PatientName=vander*                                     |
PatientName=UNKNOWN                                     | S
PatientName=\\                                          | ABCDEFGHIJKLMNOPQRSU
PatientID=P-1                                           | A
PatientID=P-1  & PatientName=Muller*                    | A
PatientID=P-1  & PatientName=DOE*                       |
PatientID=P-2                                           | B
PatientID=p-2                                           | C
PatientID=?-2                                           | BC
PatientID=P_3                                           | D
PatientID=P%3                                           | E
PatientID=P?3                                           | DEFGM
PatientID=P1?                                           | JKLMNOPQRS
PatientID=P1*                                           | JKLMNOPQRS
PatientID=P1                                            |
PatientID=P8\\P9                                        | HI
PatientID=P20                                           |
PatientSex=F                                            | BCEJLNRU
PatientSex=F\\O                                         | BCEGJLNRU
PatientSex=M & Modality=MR                              | FH
PatientSex=?                                            | ABCDEFGHIJLMNOPQRU
PatientSex=*                                            | ABCDEFGHIJKLMNOPQRSU
PatientSex=f                                            |
PatientBirthDate=19800101                               | D
PatientBirthDate=19800101-19811231                      | DEF
PatientBirthDate=-19440404                              | KLM
PatientBirthDate=20000101-                              | PQR
PatientBirthDate=19811231-19800101                      |
Modality=CT                                             | ABCDEU
Modality=ct                                             |
Modality=C?                                             |
Modality=*                                              | ABCDEFGHIJKLMNOPQRSU
Modality=CT\\MR                                         | ABCDEFGHU
Modality=OT                                             |
ScheduledStationAETitle=CT1                             | ABCU
ScheduledStationAETitle=CT2                             | CDE
ScheduledStationAETitle=CT1\\CT2                        | ABCDEU
ScheduledStationAETitle=CTOLD                           | CDE
ScheduledStationAETitle=CT?                             |
ScheduledStationAETitle=ct1                             |
ScheduledStationAETitle=MG9                             | U
ScheduledStationAETitle=MGOLD                           | U
ScheduledStationAETitle=NOBODY                          |
ScheduledStationName=MR scanner                         | FGH
ScheduledStationName=CT*                                | ABCDEU
ScheduledProcedureStepStartDate=20261123                | ABC
ScheduledProcedureStepStartDate=20261123-20261124       | ABCDEF
ScheduledProcedureStepStartDate=20261126-               | IJKQRSU
ScheduledProcedureStepStartDate=-20260701               | LOP
ScheduledProcedureStepStartDate=20261124-20261123       |
ScheduledProcedureStepStartDate=20261225                |
ScheduledProcedureStepStartTime=12                      | HIJK
ScheduledProcedureStepStartTime=120000                  | HIJ
ScheduledProcedureStepStartTime=1030-1045               | EF
ScheduledProcedureStepStartTime=-000000                 | AD
ScheduledProcedureStepStartTime=2330-                   | CLQ
ScheduledProcedureStepStartDate=20261123-20261124 & ScheduledProcedureStepStartTime=2300-0100   | CD
ScheduledProcedureStepStartDate=20261123-20261123 & ScheduledProcedureStepStartTime=2300-0100   |
ScheduledProcedureStepStartDate=20261124 & ScheduledProcedureStepStartTime=1030                 | E
ScheduledProcedureStepStartDate=20261231-20270101 & ScheduledProcedureStepStartTime=2300-0100   | QR
ScheduledProcedureStepStartDate=20260701 & ScheduledProcedureStepStartTime=2330                 | L
ScheduledProcedureStepStartDate=20260702                |
ScheduledProcedureStepStartDate=20261025 & ScheduledProcedureStepStartTime=0130                 | MN
ScheduledProcedureStepStartDate=20261025 & ScheduledProcedureStepStartTime=0130-0159            | MN
ScheduledProcedureStepStartDate=20261025 & ScheduledProcedureStepStartTime=0200-                |
ScheduledProcedureStepStartDate=20260329 & ScheduledProcedureStepStartTime=0030                 | O
ScheduledProcedureStepStartDate=20260329 & ScheduledProcedureStepStartTime=0130                 |
ScheduledProcedureStepStartDate=20260329 & ScheduledProcedureStepStartTime=0230                 | P
ScheduledProcedureStepStartDate=20260701 & TimezoneOffsetFromUTC=+0000                          | L
ScheduledProcedureStepStartDate=20260702 & TimezoneOffsetFromUTC=+0200                          | L
ScheduledProcedureStepStartDate=20261122 & TimezoneOffsetFromUTC=-0500                          | A
ScheduledPerformingPhysicianName=House^Gregory          | AC
ScheduledPerformingPhysicianName=house*                 | AC
ScheduledPerformingPhysicianName=*^James                | E
ScheduledProcedureStepDescription=CT head               | ABCDEFGHIJKLMNOPQRSU
ScheduledProcedureStepDescription=CT*                   | ABCDEFGHIJKLMNOPQRSU
ScheduledProcedureStepDescription=ct*                   |
ScheduledProcedureStepStatus=SCHEDULED                  | ABCDEFGHIJKLMNOPQRSU
ScheduledProcedureStepStatus=STARTED                    | V
ScheduledProcedureStepStatus=COMPLETED                  |
ScheduledProcedureStepStatus=*                          | ABCDEFGHIJKLMNOPQRSU
ScheduledProcedureStepStatus=SCHED*                     | ABCDEFGHIJKLMNOPQRSU
ScheduledProcedureStepStatus=ST*                        | V
ScheduledProcedureStepStatus=S*                         | ABCDEFGHIJKLMNOPQRSUV
ScheduledProcedureStepStatus=scheduled                  |
ScheduledProcedureStepEndDate=20261124 & Modality=CT    | CDE
ScheduledProcedureStepEndTime=-0100 & Modality=CT       | ACD
AccessionNumber=ACC-A                                   | A
AccessionNumber=ACC-?                                   | ABCDEFGHIJKLMNOPQRSU
AccessionNumber=acc-A                                   |
AccessionNumber=ACC-A\\ACC-B\\ACC-T                     | AB
RequestedProcedurePriority=STAT                         | B
RequestedProcedurePriority=ST?T                         | B
RequestedProcedurePriority=stat                         |
RequestedProcedureID=RP*                                | ABCDEFGHIJKLMNOPQRSU
RequestedProcedureDescription=*head                     | ABCDEFGHIJKLMNOPQRSU
PlacerOrderNumberImagingServiceRequest=K                | K
FillerOrderNumberImagingServiceRequest=NONE             |
AdmissionID=V-D                                         | D
AdmissionID=V*                                          | D
ReferringPhysicianName=wilson*                          | D
CurrentPatientLocation=WARD 3                           | D
PatientWeight=71.5                                      | E
PatientWeight=71.50                                     | E
PregnancyStatus=4                                       | E
PregnancyStatus=0 & AccessionNumber=ACC-A               | A
Allergies=*LATEX*                                       | E
ScheduledProtocolCodeSequence.CodeValue=HEAD1           | C
ScheduledProtocolCodeSequence.CodeValue=HEAD*           | CD
ScheduledProtocolCodeSequence.CodeMeaning=With contrast | C
RequestedProcedureCodeSequence.CodeValue=CTHEAD         | ABCDEFGHIJKLMNOPQRSU
RequestedProcedureCodeSequence.CodingSchemeDesignator=X |
IssuerOfAdmissionIDSequence.LocalNamespaceEntityID=ADT  | D
OtherPatientIDsSequence.PatientID=OLD-7                 | E
ScheduledStationAETitle=CT1 & Modality=CT & ScheduledProcedureStepStartDate=20261123 & PatientName=  | ABC
"""
#: Queries that are refused with A900H.
REFUSED = """
ScheduledProcedureStepStartDate=20251301
ScheduledProcedureStepStartDate=2025*
ScheduledProcedureStepStartDate=*
ScheduledProcedureStepStartDate=-
ScheduledProcedureStepStartDate=20261123\\20261124
ScheduledProcedureStepStartTime=25
ScheduledProcedureStepStartTime=10:30
ScheduledProcedureStepEndDate=tomorrow
PatientBirthDate=1956
PatientBirthDate=195612*
PatientName=a\0b
PatientWeight=heavy
PregnancyStatus=*
TimezoneOffsetFromUTC=CET & ScheduledProcedureStepStartDate=20261123
TimezoneOffsetFromUTC=+0000
"""
#: Queries that are answered with FF01H: nothing is known of what they ask.
UNSUPPORTED = """
SpecialNeeds=LIFT
SmokingStatus=
BarcodeValue=
StudyDate=20261124
ScheduledSpecimenSequence.ContainerIdentifier=X
PertinentDocumentsSequence.ReferencedSOPInstanceUID=
ReferencedStudySequence.ReferencedSOPInstanceUID=1.2.3
IssuerOfAccessionNumberSequence.UniversalEntityID=1.2.3
SeriesDescription=x & PatientName=*
"""


def rows(table: str) -> list[tuple[str, ...]]:
    return [tuple(part.strip() for part in line.split(" | ")) for line in table.strip("\n").splitlines()]


def asked(text: str) -> dict[str, str]:
    return dict(part.strip().split("=", 1) for part in text.split(" & "))


CASES = [(row[0], row[1] if len(row) > 1 else "") for row in rows(QUERIES.replace("|\n", "| \n"))]


def place(letter, name, patient_id, sex, birth_date, stations, start, physician) -> None:
    identity = PatientIdentity(
        identifier=Identifier(patient_id, "SUNVIEW"),
        patient_name=name,
        patient_sex=sex,
        patient_birth_date=datetime.strptime(birth_date, "%Y%m%d").date() if birth_date else None,  # noqa: DTZ007
    )
    titles = tuple(stations.split("\\"))
    codes = {"C": (Code("HEAD1", "99S", "With contrast"), Code("HEAD2", "99S", "Plain")), "D": (Code("HEAD3", "99S"),)}
    step = making.step_request(
        modality=MODALITIES[titles[0][:2]],
        start=datetime.fromisoformat(start).replace(tzinfo=UTC),
        station_ae_titles=titles,
        performing_physician=physician,
        protocol_codes=codes.get(letter, ()),
    )
    more = {
        "B": {"priority": "STAT"},
        "D": {
            "visit": VisitInfo(
                admission_id=Identifier("V-D", "ADT"),
                referring_physician="Wilson^James",
                current_patient_location="WARD 3",
            )
        },
        "E": {"patient_weight": 71.5, "pregnancy_status": 4, "allergies": "PENICILLIN, LATEX"},
    }
    making.placed(letter, step, patient=identity, accession_number=f"ACC-{letter}", **more.get(letter, {}))


@pytest.fixture
def entries(site) -> None:
    mammography = Department.objects.create(name="Mammography elsewhere")
    other = Station.objects.create(ae_title="MG9", modality="MG", department=mammography)
    StationAlias.objects.create(station=Station.objects.get(ae_title="CT2"), ae_title="CTOLD")
    StationAlias.objects.create(station=other, ae_title="MGOLD")
    for row in rows(ENTRIES.replace("|\n", "| \n")):
        place(*row)
    place("V", "Started^Exam", "P22", "M", "19500101", "CT1", "2027-03-01 09:00", "")
    ScheduledProcedureStep.objects.filter(requested_procedure__order__placer_order_number="V").update(status="STARTED")
    weighed = Order.objects.get(placer_order_number="E").patient
    weighed.identifiers.create(value="OLD-7", issuer="SUNVIEW", is_retired=True)


@pytest.fixture
def view(db, entries) -> View:
    return View()


def letters(found) -> str:
    return "".join(sorted(found))


def test_the_table_of_queries_purely(view):
    """Each row of the table, against the view."""
    view.refresh()
    profile, wrong = profiles()["CT1"], []
    for text, expected in CASES:
        criteria = matching.criteria(identifier.asking(asked(text)))
        found = letters(one.placer_order_number for one in view.find(criteria, profile, 1000))
        if found != expected or criteria.unsupported:
            wrong.append((text, expected, found, criteria.unsupported))
    assert not wrong
    assert len(CASES) >= 100


@pytest.mark.parametrize("text", [row[0] for row in rows(REFUSED)])
def test_what_cannot_be_matched_is_refused(text):
    """A900H, never an empty answer and never all rows."""
    with pytest.raises(Failure) as refused:
        matching.criteria(identifier.asking(asked(text)))
    assert refused.value.status == 0xA900


@pytest.mark.parametrize("text", [row[0] for row in rows(UNSUPPORTED)])
def test_what_is_not_known_is_said(view, text):
    """FF01H with the rows that the other keys match."""
    view.refresh()
    criteria = matching.criteria(identifier.asking(asked(text)))
    assert criteria.unsupported
    assert letters(one.placer_order_number for one in view.find(criteria, profiles()["CT1"], 100)) == EVERYONE


def dataset(text: str) -> Dataset:
    """The identifier as a scanner sends it, in UTF-8, with the placer order number as a return key."""
    found, step = Dataset(), Dataset()
    found.SpecificCharacterSet = "ISO_IR 192"
    found.PlacerOrderNumberImagingServiceRequest = None
    for path, value in asked(text).items():
        sequence, _dot, keyword = path.rpartition(".")
        target = step if (sequence or keyword) in STEP_BY_KEYWORD else found
        if sequence:
            setattr(target, sequence, [Dataset()])
            target = target[sequence].value[0]
        values = value.split("\\") if "\\" in value and keyword != "PatientName" else value
        setattr(target, keyword, int(value) if keyword == "PregnancyStatus" else values)
    setattr(found, STEP_SEQUENCE, [step])
    return found


@pytest.mark.django_db(transaction=True)
def test_the_table_of_queries_through_an_association(entries, scanner):
    """The same over the wire."""
    wrong = []
    for text, expected in CASES:
        found = letters(str(entry.PlacerOrderNumberImagingServiceRequest) for entry in scanner.query(dataset(text)))
        if found != expected:
            wrong.append((text, expected, found))
    assert not wrong


@pytest.mark.django_db(transaction=True)
def test_the_order_of_answers_is_that_of_their_start(entries, scanner):
    """Over several stations, and each entry once."""
    starts = [
        (item.ScheduledProcedureStepStartDate, item.ScheduledProcedureStepStartTime)
        for entry in scanner.find()
        for item in entry.ScheduledProcedureStepSequence
    ]
    assert starts == sorted(starts) and len(starts) == len(EVERYONE)


def test_private_elements_and_group_lengths_do_no_harm(view):
    """They are no keys: no FF01H, nothing returned, and alone they are an empty identifier."""
    private, length = (
        identifier.Element(0x00090010, "", "LO", ("ACME",)),
        identifier.Element(0x00080000, "", "UL", ("9",)),
    )
    criteria = matching.criteria((length, private, *identifier.asking({"PatientID": "P8"})))
    assert not criteria.unsupported
    with pytest.raises(Failure):
        matching.criteria((length, private))


RULES = [
    ({"only_arrived": True}, {"PatientID": ""}, "D"),
    ({"days_before": 0}, {"Modality": "CT"}, "DEU"),
    ({"days_after": 0}, {"Modality": "CT"}, "ABCDE"),
    ({"days_before": 1, "days_after": 1}, {"PatientID": ""}, "ABCDEFGH"),
    ({"default_keys": {"Modality": "MR"}}, {"PatientName": "*"}, "FGH"),
    ({"default_keys": {"Modality": "MR"}}, {"Modality": ""}, "FGH"),
    ({"default_keys": {"Modality": "MR"}}, {"Modality": "US"}, "MNO"),
    ({"default_keys": {"ScheduledProcedureStepStartDate": "TODAY"}}, {"Modality": "CT"}, "DE"),
    ({"default_keys": {"ScheduledStationAETitle": "CT1"}}, {"PatientName": ""}, "ABCU"),
]


@pytest.mark.parametrize(("rules", "keys", "expected"), RULES)
@pytest.mark.django_db(transaction=True)
def test_a_stations_rules(entries, worklist_port, monkeypatch, rules, keys, expected):
    """What its administrator set hides rows and fills empty keys; today is 24 November."""

    class Today(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 11, 24, 12, 0, tzinfo=tz)

    monkeypatch.setattr(mwl, "datetime", Today)
    monkeypatch.setattr(views, "datetime", Today)
    ScheduledProcedureStep.objects.filter(requested_procedure__order__placer_order_number="D").update(status="ARRIVED")
    Station.objects.filter(ae_title="CT1").update(**rules)
    request = test_mwl.request(profiles()["CT1"], dataset(" & ".join(f"{key}={value}" for key, value in keys.items())))
    answers = [test_mwl.read(answer) for answer in mwl.find(request)]
    assert letters(answer.PlacerOrderNumberImagingServiceRequest for answer in answers) == expected
