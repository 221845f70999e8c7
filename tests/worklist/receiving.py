"""The far end of the MPPS sender: another system's MPPS SCP, which keeps its instances as PS3.4 F.7.2 says."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from worklist.destinations import MppsDestination, MppsForward
from worklist.dimse import MPPS
from worklist.mpps_send import Forwarder, Policy

QUICK = Policy(poll=0.02, first_retry=0.02, longest_retry=0.1, answer=5.0)
State = MppsForward.State


@dataclass
class Receiver:
    """What it was told, as (verb, instance, status it says), and what it makes of it. ``verdict`` may answer first."""

    told: list[tuple[str, str, str]] = field(default_factory=list)
    datasets: list[Dataset] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=dict)
    verdict: Callable[[str, str, Dataset], int | None] = lambda _verb, _uid, _dataset: None

    @contextmanager
    def listening(self, port: int = 0, ae_title: str = "PACS") -> Iterator[int]:
        server = AE(ae_title=ae_title)
        server.add_supported_context(MPPS)
        server.require_called_aet = True
        handlers = [(evt.EVT_N_CREATE, self._create), (evt.EVT_N_SET, self._set)]
        listener = server.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
        try:
            yield listener.server_address[1]
        finally:
            server.shutdown()

    def _create(self, event: evt.Event) -> tuple[int, Dataset | None]:
        return self._answer("N-CREATE", str(event.request.AffectedSOPInstanceUID), event.attribute_list), None

    def _set(self, event: evt.Event) -> tuple[int | Dataset, Dataset | None]:
        uid = str(event.request.RequestedSOPInstanceUID)
        status = self._answer("N-SET", uid, event.modification_list)
        if status != 0x0110:
            return status, None
        refusal = Dataset()
        refusal.Status, refusal.ErrorID = 0x0110, 0xA710
        return refusal, None

    def _answer(self, verb: str, uid: str, dataset: Dataset) -> int:
        says = dataset.get("PerformedProcedureStepStatus", "")
        self.told.append((verb, uid, says))
        self.datasets.append(dataset)
        if (verdict := self.verdict(verb, uid, dataset)) is not None:
            return verdict
        if verb == "N-CREATE":
            if uid in self.states:
                return 0x0111
        elif uid not in self.states:
            return 0x0112
        elif self.states[uid] != "IN PROGRESS":
            return 0x0110
        self.states[uid] = says or self.states[uid]
        return 0x0000


def destination(port: int, name: str = "PACS", **facts: object) -> MppsDestination:
    return MppsDestination.objects.create(name=name, ae_title="PACS", host="127.0.0.1", port=port, **facts)


@contextmanager
def forwarding() -> Iterator[Forwarder]:
    """A forwarder at work in a thread."""
    stop = threading.Event()
    forwarder = Forwarder(stop, QUICK)
    thread = threading.Thread(target=forwarder.run)
    thread.start()
    try:
        yield forwarder
    finally:
        stop.set()
        thread.join(20)


def count(state: str) -> int:
    return MppsForward.objects.filter(state=state).count()
