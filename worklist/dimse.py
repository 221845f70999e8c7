"""A DIMSE request and its answer as plain values: what handlers see, whatever accepted the association."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pydicom.dataset import Dataset

from worklist.stations import Profile

VERIFICATION = "1.2.840.10008.1.1"
MODALITY_WORKLIST = "1.2.840.10008.5.1.4.31"
MPPS = "1.2.840.10008.3.1.2.3.3"
MPPS_RETRIEVE = "1.2.840.10008.3.1.2.3.4"

#: Identifies Sunview in associations and as the writer of files (PS3.7 D.3.3.2, PS3.10 7.1).
IMPLEMENTATION_CLASS_UID = "2.25.166722226303396393437466613361397416527"
IMPLEMENTATION_VERSION_NAME = "SUNVIEW"

SUCCESS = 0x0000
PENDING = 0xFF00
#: One or more optional keys of the query are not supported (PS3.4 K.4.1.1.4).
PENDING_UNSUPPORTED = 0xFF01
CANCEL = 0xFE00


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request of a peer. ``data`` is the encoded identifier, attribute list or modification list; an object to
    store is not in it but in ``file``, behind ``file_offset`` bytes of preamble and file meta information of ours. The
    file is removed before the answer, unless the handler moved it.

    ``sop_instance_uid`` is the affected or requested one, None if the peer gave none. ``station`` is who calls;
    ``calling_ae_title`` what it calls itself, which may be an alias. ``received_at`` is when the request was whole, on
    time.monotonic: an answer may hold nothing that was read before.
    """

    verb: str
    calling_ae_title: str
    station: Profile = field(default_factory=Profile)
    address: str = ""
    received_at: float = 0.0
    transfer_syntax_uid: str = "1.2.840.10008.1.2"
    sop_class_uid: str = ""
    sop_instance_uid: str | None = None
    data: bytes = b""
    file: Path | None = None
    file_offset: int = 0
    asked_tags: tuple[int, ...] = ()
    is_cancelled: Callable[[], bool] = field(default=lambda: False)

    @property
    def character_set(self) -> str:
        """What the calling station is set to use (0008,0005)."""
        return self.station.character_set

    @property
    def implicit_vr(self) -> bool:
        return self.transfer_syntax_uid == "1.2.840.10008.1.2"


class Answer(NamedTuple):
    """The status (0000,0900) with what explains it, and the data set that goes back: as ``dataset``, or as ``data``,
    encoded in the request's transfer syntax already.

    A handler that made an instance's UID itself puts it as AffectedSOPInstanceUID into ``dataset``; it goes into the
    command set (PS3.7 10.1.5.1.4).
    """

    status: int
    dataset: Dataset | None = None
    data: bytes = b""
    comment: str = ""
    error_id: int | None = None
    tags: tuple[int, ...] = ()
