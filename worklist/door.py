"""The front door: accepts associations on pynetdicom's AE and hands requests to handlers as plain values."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from django.conf import settings
from django.db import connection
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association

from worklist import encoding, handling
from worklist.connection import (
    LONGEST_MESSAGE,
    LONGEST_PDU,
    MOST_CONNECTIONS,
    PDU_SECONDS,
    REQUEST_SECONDS,
    Contexts,
    Receiver,
    Server,
)
from worklist.dimse import SUCCESS, VERIFICATION, Answer, Request
from worklist.stations import Profile, Stations

logger = logging.getLogger(__name__)

# The library would format each PDU for logs that are off, and write identifiers, which are patient data.
_config.LOG_HANDLER_LEVEL = "none"
_config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False

#: Seconds an established association may be silent.
IDLE_SECONDS = 60.0
#: Answers to a query that are queued before the peer's C-CANCEL is looked for.
ANSWERS_AT_ONCE = 20

_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
_REJECTED_BY_USER = (0x01, 0x01)


class Door:
    """One listening port with its handlers by verb: ``{"C-ECHO": handler, "C-FIND": query handler, ...}``."""

    def __init__(
        self,
        address: tuple[str, int],
        contexts: Mapping[str, list[str]],
        handlers: Mapping[str, handling.Handler],
        query: handling.QueryHandler | None = None,
        longest_message: int = LONGEST_MESSAGE,
    ) -> None:
        self._handlers, self._query = handlers, query
        self._stations = Stations()
        self._ae = AE(ae_title=settings.AE_TITLE)
        self._ae.maximum_associations = MOST_CONNECTIONS
        self._ae.maximum_pdu_size = LONGEST_PDU
        self._ae.acse_timeout = REQUEST_SECONDS + 1
        self._ae.dimse_timeout, self._ae.network_timeout = PDU_SECONDS, IDLE_SECONDS
        for abstract_syntax, transfer_syntaxes in contexts.items():
            self._ae.add_supported_context(abstract_syntax, transfer_syntaxes)
        server = self._ae.make_server(
            address,
            contexts=Contexts(self._ae.supported_contexts),
            evt_handlers=self._bindings(),
            server_class=Server,
            request_handler=Receiver,
        )
        self._server = cast(Server, server)
        self._server.longest_message = longest_message
        self._ae._servers.append(self._server)  # what shutdown() takes it out of
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> "Door":
        """Accept associations from now on, in threads."""
        self._thread.start()
        return self

    def stop(self, seconds: float = 8.0) -> None:
        """Accept no more, let running associations end for at most ``seconds``, abort the rest."""
        self._server.shutdown()
        self._thread.join()
        deadline = time.monotonic() + seconds
        while self._server.active_associations and time.monotonic() < deadline:
            time.sleep(0.05)
        if left := self._server.active_associations:
            with ThreadPoolExecutor(len(left)) as pool:
                list(pool.map(lambda association: association.abort(), left))

    def _bindings(self) -> list[Any]:
        bound: list[Any] = [(evt.EVT_REQUESTED, self._admit)]
        bound += [(_EVENTS[verb], self._answer, [verb]) for verb in self._handlers]
        if self._query:
            bound.append((evt.EVT_C_FIND, self._answers))
        return bound

    def _admit(self, event: evt.Event) -> None:
        """Reject who may not call. Runs before negotiation; an exception here would let everybody in."""
        association = event.assoc
        try:
            refusal = self._refusal(association)
        except Exception:  # fail closed, and let the library's thread see what went wrong
            association.acse.send_reject(0x02, 0x03, 0x01)
            association.kill()
            raise
        finally:
            connection.close()
        if refusal:
            asked = association.requestor.primitive
            titles = (asked.calling_ae_title, asked.called_ae_title) if asked else ("", "")
            logger.warning(
                "association from %s refused: %s, calling %s, called %s",
                association.requestor.address,
                refusal[1],
                *(handling.printable(title) for title in titles),
            )
            association.acse.send_reject(*_REJECTED_BY_USER, refusal[0])
            association.kill()

    def _refusal(self, association: Any) -> tuple[int, str] | None:
        """Diagnostic of an A-ASSOCIATE-RJ (PS3.8 table 9-21) and its words, or None for who may come in.

        Our own AE title may only call from this machine: it is the probe that the process is well.
        """
        asked, client = association.requestor.primitive, association.dul.socket.socket
        calling = asked.calling_ae_title.strip()
        if asked.application_context_name != _APPLICATION_CONTEXT:
            return 0x02, "unknown application context"
        if asked.called_ae_title.strip() != settings.AE_TITLE:
            return 0x07, "called AE title not recognized"
        is_probe = calling == settings.AE_TITLE and client.getsockname()[0] == client.getpeername()[0]
        if not is_probe and self._stations.find(calling) is None:
            return 0x03, "calling AE title not recognized"
        return None

    def _request(self, event: evt.Event, verb: str) -> Request:
        message = event.request
        calling = event.assoc.requestor.ae_title.strip()
        data = next((part for name in _DATA if (part := getattr(message, name, None)) is not None), None)
        return Request(
            verb=verb,
            calling_ae_title=calling,
            station=self._stations.find(calling) or Profile(),
            transfer_syntax_uid=str(event.context.transfer_syntax),
            sop_class_uid=str(_first(message, "AffectedSOPClassUID", "RequestedSOPClassUID") or ""),
            sop_instance_uid=_first(message, "AffectedSOPInstanceUID", "RequestedSOPInstanceUID"),
            data=data.getvalue() if data else b"",
            asked_tags=tuple(event.attribute_identifiers) if verb == "N-GET" else (),
            is_cancelled=lambda: event.is_cancelled,
        )

    def _answer(self, event: evt.Event, verb: str) -> Any:
        result = handling.answer(self._handlers[verb], self._request(event, verb))
        status = _status(result)
        return (status, result.dataset) if verb.startswith("N-") else status

    def _answers(self, event: evt.Event) -> Iterator[tuple[Dataset, Dataset | None]]:
        assert self._query is not None
        for number, result in enumerate(handling.answers(self._query, self._request(event, "C-FIND"))):
            if number % ANSWERS_AT_ONCE == 0:
                _wait_until_sent(event.assoc)
            yield _status(result), _dataset(result, str(event.context.transfer_syntax))


_EVENTS = {
    "C-ECHO": evt.EVT_C_ECHO,
    "C-STORE": evt.EVT_C_STORE,
    "N-CREATE": evt.EVT_N_CREATE,
    "N-SET": evt.EVT_N_SET,
    "N-GET": evt.EVT_N_GET,
}
#: Where a request carries its data set, by service.
_DATA = ("Identifier", "DataSet", "AttributeList", "ModificationList")


def _wait_until_sent(association: Association) -> None:
    """The library sends before it reads: a C-CANCEL is only seen once there is nothing left to send."""
    while association.dul.to_provider_queue.qsize() and association.dul.is_alive():
        time.sleep(0.001)


def _first(message: Any, *names: str) -> Any:
    return next((value for name in names if (value := getattr(message, name, None)) is not None), None)


def _dataset(result: Answer, transfer_syntax: str) -> Dataset | None:
    """The library takes a Dataset only."""
    return encoding.decode(result.data, UID(transfer_syntax).is_implicit_VR) if result.data else result.dataset


def _status(result: Answer) -> Dataset:
    status = Dataset()
    for keyword, value in result.status_elements().items():
        setattr(status, keyword, value)
    return status


def probe(address: tuple[str, int]) -> bool:
    """Whether the door at ``address`` answers a C-ECHO of ours with success."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0])
    caller = AE(ae_title=settings.AE_TITLE)
    caller.acse_timeout = caller.dimse_timeout = caller.connection_timeout = 5
    caller.add_requested_context(VERIFICATION)
    association = caller.associate(host, address[1], ae_title=settings.AE_TITLE)
    if not association.is_established:
        return False
    status = association.send_c_echo()
    association.release()
    return bool(status and status.Status == SUCCESS)
