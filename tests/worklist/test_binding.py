"""An AE title is believed only from its station's networks, with its certificate, with its passcode: reliability.md,
table A, rows 20, 21 and 28."""

from io import StringIO

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from pynetdicom import AE
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from ris.models import Station
from ris.networks import networks
from tests.waiting import wait_until
from tests.worklist import peer
from tests.worklist.peer import RawPeer, item, request
from worklist import binding
from worklist.activity import recorder
from worklist.binding import LOCKED, OTHER_CERTIFICATE, OTHER_NETWORK, WRONG_PASSCODE, Caller, Lockout, refusal
from worklist.dimse import VERIFICATION
from worklist.models import UnknownCaller
from worklist.stations import Profile

HOME, GIVEN = networks("192.0.2.0/24, 2001:db8::/32"), binding.digest(7, b"right")

DECISIONS = {
    "bound to nothing": ({}, Caller("198.51.100.1"), None),
    "20 from its network": ({"networks": HOME}, Caller("192.0.2.9"), None),
    "20 from its network by IPv6": ({"networks": HOME}, Caller("2001:db8::9"), None),
    "20 IPv4 at an IPv6 socket": ({"networks": HOME}, Caller("::ffff:192.0.2.9"), None),
    "20 from elsewhere": ({"networks": HOME}, Caller("198.51.100.1"), OTHER_NETWORK),
    "21 its certificate": ({"certificate_name": "ct1"}, Caller("192.0.2.9", frozenset({"ct1"})), None),
    "21 another's": ({"certificate_name": "ct1"}, Caller("192.0.2.9", frozenset({"mr1"})), OTHER_CERTIFICATE),
    "21 without TLS": ({"certificate_name": "ct1"}, Caller("192.0.2.9"), OTHER_CERTIFICATE),
    "28 right passcode": ({"passcode_digest": GIVEN}, Caller("192.0.2.9", passcode=b"right"), None),
    "28 wrong passcode": ({"passcode_digest": GIVEN}, Caller("192.0.2.9", passcode=b"wrong"), WRONG_PASSCODE),
    "28 empty passcode": ({"passcode_digest": GIVEN}, Caller("192.0.2.9", passcode=b""), WRONG_PASSCODE),
    "28 no passcode": ({"passcode_digest": GIVEN}, Caller("192.0.2.9"), WRONG_PASSCODE),
    "28 none asked for": ({}, Caller("192.0.2.9", passcode=b"any"), None),
}


@pytest.mark.parametrize(("bound", "caller", "expected"), DECISIONS.values(), ids=DECISIONS)
def test_decision(bound, caller, expected):
    """What binds a station, who calls, what it is told."""
    assert refusal(Profile(pk=7, **bound), caller, Lockout()) == expected


def test_five_wrong_passcodes_lock_out_for_a_quarter_of_an_hour():
    """The station, from that address; the right passcode does not help until the time is over."""
    now = [0.0]
    lockout, station = Lockout(lambda: now[0]), Profile(pk=7, passcode_digest=GIVEN)
    right, wrong = Caller("192.0.2.9", passcode=b"right"), Caller("192.0.2.9", passcode=b"wrong")
    for _ in range(4):
        assert refusal(station, wrong, lockout) == WRONG_PASSCODE
    assert refusal(station, right, lockout) is None  # and what was counted is forgotten
    for _ in range(5):
        assert refusal(station, wrong, lockout) == WRONG_PASSCODE
    assert refusal(station, right, lockout) == LOCKED
    assert refusal(station, right._replace(address="192.0.2.10"), lockout) is None
    now[0] = binding.LOCKED_SECONDS - 1
    assert refusal(station, right, lockout) == LOCKED
    now[0] = binding.LOCKED_SECONDS
    assert refusal(station, right, lockout) is None


def test_memory_of_failures_is_bounded():
    """A flood of addresses does not fill the memory."""
    lockout = Lockout()
    for number in range(3 * binding._MOST_REMEMBERED):
        lockout.failed(7, str(number))
    assert len(lockout._failures) == binding._MOST_REMEMBERED


def test_networks_are_checked():
    """In the admin, with a sentence."""
    with pytest.raises(ValidationError, match="192.0.2.300/24 is not a network"):
        Station(ae_title="CT1", modality="CT", allowed_networks="127.0.0.1/32, 192.0.2.300/24").clean_fields()


@pytest.mark.django_db(transaction=True)
class TestAtTheDoor:
    @pytest.fixture
    def port(self, worklist_port, nothing_noted) -> int:
        return worklist_port

    def rejected(self, port: int, **parts) -> tuple[int, ...]:
        answer = RawPeer(port, request(**parts)).pdu()
        return (answer[0], *answer[7:10])

    def test_20_a_known_title_from_elsewhere_is_rejected_and_listed(self, front_door, port):
        """RJ(1,1,3), and the alert: a row among the refused callers. From its own network it is served."""
        Station.objects.filter(ae_title="CT1").update(allowed_networks="127.0.0.2/32")
        assert self.rejected(port) == (3, 1, 1, 3)
        assert RawPeer(port, source="127.0.0.2").associated().results()[1] == 0
        binding_row = UnknownCaller.objects.filter(ae_title="CT1", address="127.0.0.1", reason=OTHER_NETWORK.why)
        wait_until(lambda: _written(binding_row))

    def test_21_without_its_certificate(self, port):
        """Plain DICOM is not enough for a station that has a certificate."""
        Station.objects.filter(ae_title="CT1").update(certificate_name="ct1.example")
        assert self.rejected(port) == (3, 1, 1, 3)

    def test_28_user_identity(self, port):
        """The passcode that the command printed is taken; pynetdicom, which awaits an answer to it, gets one."""
        output = StringIO()
        call_command("station_passcode", "CT1", stdout=output)
        passcode = output.getvalue().strip().encode()
        assert passcode not in Station.objects.get(ae_title="CT1").passcode_digest.encode()
        assert self.rejected(port) == (3, 1, 1, 1)
        assert self.rejected(port, user=identity(b"wrong")) == (3, 1, 1, 1)
        assert RawPeer(port).associated(user=identity(passcode)).results()[1] == 0
        item_of_ours = UserIdentityNegotiation()
        item_of_ours.user_identity_type, item_of_ours.positive_response_requested = 2, True
        item_of_ours.primary_field, item_of_ours.secondary_field = b"CT1", passcode
        scanner = AE(ae_title="CT1")
        scanner.add_requested_context(VERIFICATION)
        association = scanner.associate("127.0.0.1", port, ae_title="SUNVIEW", ext_neg=[item_of_ours])
        assert association.is_established
        assert association.acceptor.user_identity is not None
        assert association.send_c_echo().Status == 0
        association.release()

    def test_28_five_failures_lock(self, port):
        """The right passcode is rejected too, after five wrong ones."""
        output = StringIO()
        call_command("station_passcode", "CT1", stdout=output)
        for _ in range(5):
            assert self.rejected(port, user=identity(b"wrong")) == (3, 1, 1, 1)
        assert self.rejected(port, user=identity(output.getvalue().strip().encode())) == (3, 1, 1, 1)

    def test_passcode_is_removed(self, port):
        """And then nobody asks for it."""
        call_command("station_passcode", "CT1", stdout=StringIO())
        call_command("station_passcode", "CT1", "--remove", stdout=StringIO())
        assert RawPeer(port).associated().results()[1] == 0
        with pytest.raises(CommandError, match="No station"):
            call_command("station_passcode", "NOBODY")


def identity(passcode: bytes, answer: int = 0) -> bytes:
    """User information with user name and passcode (PS3.7 Table D.3-14)."""
    fields = b"".join(len(part).to_bytes(2, "big") + part for part in (b"CT1", passcode))
    return peer.user_item(more=item(0x58, bytes((2, answer)) + fields))


def _written(rows) -> bool:
    recorder.write()
    return rows.exists()
