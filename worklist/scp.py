"""What each of the two ports offers. They are apart so that a flood of images never starves worklist and MPPS."""

from typing import Any

from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts

from worklist import handling, mpps, mwl, store
from worklist.dimse import MODALITY_WORKLIST, MPPS, MPPS_RETRIEVE, VERIFICATION
from worklist.door import Door

PLAIN = [str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)]
#: Deflated is never taken: 284 KB of it became 946 MB (reliability.md, fact 4). Big Endian is retired.
COMPRESSED = [
    uid for uid in ALL_TRANSFER_SYNTAXES if uid not in (*PLAIN, ExplicitVRBigEndian) and "Deflate" not in UID(uid).name
]
#: What each door offers: abstract syntax -> transfer syntaxes, the preferred first.
WORKLIST_CONTEXTS = {uid: PLAIN for uid in (VERIFICATION, MODALITY_WORKLIST, MPPS, MPPS_RETRIEVE)}
STORE_CONTEXTS = {str(context.abstract_syntax): PLAIN + COMPRESSED for context in AllStoragePresentationContexts} | {
    VERIFICATION: PLAIN
}


def worklist_door(address: tuple[str, int], **options: Any) -> Door:
    """C-ECHO, modality worklist, MPPS and MPPS Retrieve. ``options`` are the door's."""
    handlers = {"C-ECHO": handling.echo, "N-CREATE": mpps.create, "N-SET": mpps.update, "N-GET": mpps.get}
    return Door(address, WORKLIST_CONTEXTS, handlers, query=mwl.find, **options)


def store_door(address: tuple[str, int], **options: Any) -> Door:
    """C-ECHO and C-STORE of every storage SOP class in every transfer syntax that is kept as it comes."""
    store.remove_left()
    handlers = {"C-ECHO": handling.echo, "C-STORE": store.store}
    return Door(address, STORE_CONTEXTS, handlers, incoming=store.incoming, **options)
