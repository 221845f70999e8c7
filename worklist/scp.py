"""What each of the two ports offers. They are apart so that a flood of images never starves worklist and MPPS."""

from pydicom.uid import (
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AllStoragePresentationContexts
from pynetdicom.sop_class import (
    ModalityPerformedProcedureStep,
    ModalityPerformedProcedureStepRetrieve,
    ModalityWorklistInformationFind,
    Verification,
)

from worklist import handling, mpps, mwl, store
from worklist.door import Door

#: Deflated is never taken: 284 KB of it became 946 MB (reliability.md, fact 4); Big Endian is retired.
PLAIN = [str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)]
_REFUSED = {DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian}
_DEFLATED = "deflate"


def worklist_door(address: tuple[str, int]) -> Door:
    """C-ECHO, modality worklist, MPPS and MPPS Retrieve."""
    offered = (
        Verification,
        ModalityWorklistInformationFind,
        ModalityPerformedProcedureStep,
        ModalityPerformedProcedureStepRetrieve,
    )
    handlers = {"C-ECHO": handling.echo, "N-CREATE": mpps.create, "N-SET": mpps.update, "N-GET": mpps.get}
    return Door(address, {str(uid): PLAIN for uid in offered}, handlers, query=mwl.find)


def store_door(address: tuple[str, int]) -> Door:
    """C-ECHO and C-STORE of every storage SOP class in every transfer syntax that is kept as it comes."""
    compressed = [
        str(uid)
        for uid in AllTransferSyntaxes
        if uid not in (*_REFUSED, *PLAIN) and _DEFLATED not in uid.name.lower() and uid.is_compressed
    ]
    contexts = {str(context.abstract_syntax): PLAIN + compressed for context in AllStoragePresentationContexts}
    contexts[str(Verification)] = PLAIN
    return Door(address, contexts, {"C-ECHO": handling.echo, "C-STORE": store.store})
