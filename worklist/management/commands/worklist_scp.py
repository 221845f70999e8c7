"""The worklist process: C-ECHO, modality worklist and MPPS."""

from django.conf import settings

from ris.processes import ServerCommand
from worklist import activity
from worklist.door import probe
from worklist.scp import worklist_door


class Command(ServerCommand):
    help = "Answer scanners: C-ECHO, modality worklist C-FIND, MPPS (SUNVIEW_DICOM)."
    process = "worklist"

    def serve(self) -> None:
        door = worklist_door(settings.DICOM_ADDRESS).start()
        activity.start()
        self.stop.wait()
        door.stop()
        activity.stop()

    def is_well(self) -> bool:
        return probe(settings.DICOM_ADDRESS)
