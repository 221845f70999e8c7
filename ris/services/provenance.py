"""Where what an order says was found: kept with the exam, told to who asks."""

from collections.abc import Mapping

from ris.inputs import Actor
from ris.models import Order, RequestedProcedure, ScheduledProcedureStep
from ris.services import precedence


def note(row: Order | RequestedProcedure | ScheduledProcedureStep, found: Mapping[str, str], actor: Actor) -> bool:
    """Set on an unsaved ``row`` the field that each attribute came from and the message that said it last.

    Whether that is news. What was said later by another message keeps that one's.
    """
    before, mark = row.provenance, precedence.stamp(actor)
    noted = entries(found, actor)
    row.provenance = before | {name: entry for name, entry in noted.items() if precedence.prevails(row, name, mark)}
    return row.provenance != before


def entries(found: Mapping[str, str], actor: Actor) -> dict[str, list[str]]:
    """What a new row keeps of where its attributes were found."""
    return {name: [place, actor.source_message] for name, place in found.items()}
