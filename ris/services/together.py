"""Several new orders placed in one transaction: what is asked for one order after the other is asked once for all.

Every rule stays where it is: the services place each order as they always do. But they know that none of the orders is
here, nor a cancellation of one, nor their accession numbers and Study UIDs, and which patients are not. Nobody else who
places orders together, places or buries one of these can do so meanwhile: the numbers are held first (order_numbers),
those of patients too, all in one order, so that two never wait for each other.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from django.db import connection

from ris.inputs import Identifier, OrderRequest
from ris.services import order_numbers, patients, rows, tombstones

#: What is named, and where it would be found.
_PLACES = (
    ("patients", "ris_patientidentifier", "value"),
    ("placers", "ris_order", "placer_order_number"),
    ("fillers", "ris_order", "filler_order_number"),
    ("accessions", "ris_order", "accession_number"),
    ("studies", "ris_requestedprocedure", "study_instance_uid"),
    ("placers", "ris_tombstone", "placer_order_number"),
    ("fillers", "ris_tombstone", "filler_order_number"),
)
#: Each value is looked up in the index by itself: of a table without statistics PostgreSQL would read every row.
_PRESENT = " UNION ALL ".join(
    f"SELECT '{kind}', named FROM unnest(%({kind})s::text[]) AS named"
    f" WHERE (SELECT true FROM {table} WHERE {column} = named LIMIT 1)"
    for kind, table, column in _PLACES
)


class NotNew(Exception):
    """Not all of the orders are new and of no concern to each other: they cannot be placed together."""


def is_possible() -> bool:
    """Whether this database gains by it: SQLite has one writer at a time anyway."""
    return connection.vendor == "postgresql"


@contextmanager
def placing(requests: Sequence[OrderRequest]) -> Iterator[None]:
    """Place these orders, and write what belongs to them, in the block; within a transaction. NotNew if one of them is
    here, was canceled ahead, or names what another one does, except for its patient.
    """
    named = {
        "placers": [request.placer_order_number.value for request in requests],
        "fillers": [request.filler_order_number.value for request in requests],
        "accessions": [request.accession_number for request in requests],
        "studies": [procedure.study_instance_uid for request in requests for procedure in request.procedures],
    }
    named = {kind: [value for value in values if value] for kind, values in named.items()}
    if any(len(set(values)) < len(values) for values in named.values()):
        raise NotNew
    identifiers = {each for request in requests for each in _identifiers(request)}
    order_numbers.hold_numbers([*_held(requests, identifiers), *_spelled(named)])
    here = _present({**named, "patients": [each.value for each in identifiers]})
    known: dict[Hashable, None] = {patients.key(each): None for each in identifiers if each.value not in here}
    with rows.gathered(dict(known), len(requests)):
        yield


def _identifiers(request: OrderRequest) -> Iterable[Identifier]:
    return (request.patient.identifier, *request.patient.other_ids)


def _held(requests: Sequence[OrderRequest], identifiers: Iterable[Identifier]) -> Iterator[str]:
    for request in requests:
        yield from tombstones.spelled(tombstones.key_of(request))
    for identifier in identifiers:
        yield "\x1f".join(("patient", identifier.value, identifier.issuer))


def _spelled(named: dict[str, list[str]]) -> Iterator[str]:
    for kind in ("accessions", "studies"):
        yield from ("\x1f".join((kind, value)) for value in named[kind])


def _present(named: dict[str, list[str]]) -> set[str]:
    """The values that are identifiers of patients; NotNew if anything else is here."""
    with connection.cursor() as cursor:
        cursor.execute(_PRESENT, named)
        found = cursor.fetchall()
    if any(kind != "patients" for kind, _value in found):
        raise NotNew
    return {value for _kind, value in found}
