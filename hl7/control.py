"""Order control: what a pair of ORC-1 (table 0119) and ORC-5 (table 0038) does, as one table."""

from enum import Enum

ANY = "*"


class Action(Enum):
    """What is done with an order group. The value says it in words, for the README."""

    PLACE = "places the order; the same order again brings it up to date"
    PLACE_HELD = "places the order and hides it from every worklist until it is released"
    CHANGE = "changes it; what the message leaves empty stays. An order not here yet is provisional until its NW comes"
    SCHEDULED = "as NW: some systems send their orders so"
    CANCEL = "cancels it; refused once the exam has started. An order not here yet is canceled when it comes"
    HOLD = "hides it from every worklist"
    RELEASE = "shows it again"
    REPLACE = "cancels it: the RO behind it takes its place"
    CHILD = "places the order as a part of the order in ORC-8, else of the PA before it in the message"
    PARENT = "keeps the order without exams: its children are the exams"
    SEND_NUMBER = "places the order, and the AA tells its filler order number"
    TAKE_NUMBER = "gives the order of the filler number in ORC-3 the placer number in ORC-2"
    STATUS = "changes nothing: Sunview itself says how far the exam is"
    REPLY = "changes nothing: it answers what was never asked"


#: ORC-1, ORC-5 (ANY: whatever it is, unless another row says), and what is done.
CONTROL_ROWS: tuple[tuple[tuple[str, ...], tuple[str, ...], Action], ...] = (
    (("NW", "RO"), (ANY,), Action.PLACE),
    (("XO",), (ANY,), Action.CHANGE),
    (("NW",), ("CA", "DC"), Action.CANCEL),
    (("NW",), ("HD",), Action.PLACE_HELD),
    (("XO", "SC"), ("CA", "DC", "RP"), Action.CANCEL),
    (("XO", "SC"), ("HD",), Action.HOLD),
    (("NW", "XO"), ("CM",), Action.STATUS),
    (("SC",), ("", "SC"), Action.SCHEDULED),
    (("SC",), (ANY,), Action.STATUS),
    (("CA", "OC", "DC", "OD"), (ANY,), Action.CANCEL),
    (("HD", "OH"), (ANY,), Action.HOLD),
    (("RL",), (ANY,), Action.RELEASE),
    (("RP",), (ANY,), Action.REPLACE),
    (("PA",), (ANY,), Action.PARENT),
    (("CH",), (ANY,), Action.CHILD),
    (("SN",), (ANY,), Action.SEND_NUMBER),
    (("NA",), (ANY,), Action.TAKE_NUMBER),
    (
        ("OK", "XR", "XX", "CR", "DR", "HR", "OR", "RE", "RQ", "RU", "UA", "UC", "UD", "UH", "UM", "UR", "UX"),
        (ANY,),
        Action.REPLY,
    ),
)
CONTROL: dict[tuple[str, str], Action] = {
    (control, status): action
    for controls, statuses, action in CONTROL_ROWS
    for control in controls
    for status in statuses
}
#: Codes that ask for something, for the refusal of one that is not known.
TAKEN = tuple(dict.fromkeys(control for control, _status in CONTROL if CONTROL.get((control, ANY)) is not Action.REPLY))


def action_of(control: str, status: str) -> Action | None:
    """What ORC-1 ``control`` with ORC-5 ``status`` does; None if the pair is in no row.

    An empty ORC-1 is what ORC-5 says, as if it were SC; the caller sees to it that the order is known.
    """
    known = control or "SC"
    return CONTROL.get((known, status)) or CONTROL.get((known, ANY))
