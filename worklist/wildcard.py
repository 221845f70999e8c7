"""Texts and names as they are compared: wildcards, case, accents, component groups (PS3.4 C.2.2.2.1 and C.2.2.2.4)."""

import re
from collections.abc import Callable
from functools import lru_cache

from ris.models import name_key

#: What a name is made of beside its characters (PS3.5 6.2.1.2).
_GROUPS = 3


def is_wild(pattern: str) -> bool:
    return "*" in pattern or "?" in pattern


@lru_cache(maxsize=4096)
def pattern(text: str) -> Callable[[str], object]:
    """A function that says whether a text matches: ``*`` any characters, ``?`` one, all else as it stands.

    Every part between asterisks is taken where it first fits and never given back (an atomic group), so that no
    pattern takes more than time in proportion to pattern and text.
    """
    if not is_wild(text):
        return text.__eq__
    first, *rest = (re.escape(part).replace(r"\?", ".") for part in re.sub(r"\*+", "*", text).split("*"))
    if not rest:
        return re.compile(first, re.DOTALL).fullmatch
    *middle, last = rest
    steps = "".join(f"(?>.*?{part})" for part in middle)
    return re.compile(f"{first}{steps}.*{last}\\Z", re.DOTALL).match


@lru_cache(maxsize=65_536)
def name_groups(name: str) -> tuple[str, ...]:
    """The component groups of a person name with case and accents folded, without empty components at their ends."""
    return tuple(group.strip().rstrip("^ ") for group in name_key(name).split("=")[:_GROUPS])


def person(asked: str) -> Callable[[str], bool]:
    """A function that says whether a person name matches.

    A key of one component group is looked for in each of the three (PS3.4 C.2.2.2.1.1); one of several is compared
    group by group, and a group that it leaves empty is not compared.
    """
    groups = name_groups(asked)
    if len(groups) == 1:
        matches = pattern(groups[0])
        return lambda name: any(matches(group) for group in name_groups(name) if group)
    wanted = [(index, pattern(group)) for index, group in enumerate(groups) if group]

    def holds(name: str) -> bool:
        there = name_groups(name)
        return all(matches(there[index] if index < len(there) else "") for index, matches in wanted)

    return holds


def beginning(asked: str) -> str:
    """What one of a name's component groups begins with, if it matches; empty where that is not known."""
    groups = name_groups(asked)
    return re.split(r"[*?]", groups[0], maxsplit=1)[0] if len(groups) == 1 else ""
