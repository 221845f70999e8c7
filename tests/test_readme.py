"""The README is the front door: its state table is the code's."""

import re
from pathlib import Path

from hl7.control import ANY, CONTROL_ROWS
from ris import processes
from ris.states import TRANSITION_ROWS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def table() -> str:
    rows = [
        f"| {verb} | {', '.join(sources)} | {target or '(flag)'} | {who} |"
        for verb, sources, target, who in TRANSITION_ROWS
    ]
    return "\n".join(["| verb | from | to | who |", "|---|---|---|---|", *rows])


def test_state_table():
    """The state table of the README is the one of the code."""
    assert f"<!-- states -->\n{table()}\n<!-- /states -->" in README


def test_every_process_is_named():
    """Each process of the supervisor is in the picture."""
    for process in processes.PROCESSES:
        assert f" {process} " in README


def control() -> str:
    rows = (
        f"| {', '.join(controls)} | {', '.join(_word(status) for status in statuses)} | {action.value} |"
        for controls, statuses, action in CONTROL_ROWS
    )
    return "\n".join(["| ORC-1 | ORC-5 | does |", "|---|---|---|", *rows])


def _word(status: str) -> str:
    return {ANY: "any", "": "empty"}.get(status, status)


def test_order_control_table():
    """The order control table of the README is the one of the code."""
    assert f"<!-- control -->\n{control()}\n<!-- /control -->" in README


def test_every_setting_is_in_the_table():
    """What the environment may say is in the table of settings, and nothing else."""
    read = set(re.findall(r'"(SUNVIEW_\w+|DATABASE_URL)"', (ROOT / "ris" / "settings.py").read_text(encoding="utf-8")))
    rows = re.findall(r"^\| (`(?:SUNVIEW_|DATABASE_)[^|]+) \|", README, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == read


def test_every_make_target_is_named():
    """What a newcomer can make stands in the README."""
    [phony] = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for target in {"install", "demo", "test", *(name for name in phony.split() if name.startswith("bench"))}:
        assert f"make {target}" in README
