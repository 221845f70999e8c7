"""The conformance statement is the code's: checked in, current, and complete in what it says of the tables."""

from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from worklist import conformance, scp, status
from worklist.keys import KEYS, STEP_KEYS
from worklist.mpps_table import RULES

STATEMENT = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"


def tag(number: int) -> str:
    return f"({number >> 16:04X},{number & 0xFFFF:04X})"


def test_it_is_current():
    """After a change of a table: manage.py conformance_statement."""
    assert STATEMENT.read_text(encoding="utf-8") == conformance.statement()


def test_it_depends_on_no_setting(settings):
    """The same at every site."""
    before = conformance.statement()
    settings.AE_TITLE, settings.TIME_ZONE = "OTHER", "Asia/Tokyo"
    assert conformance.statement() == before


def test_every_table_is_in_it():
    """Every key, attribute of MPPS, SOP class, transfer syntax, and each status that a failure may have."""
    text = conformance.statement()
    for key in (*KEYS, *STEP_KEYS):
        assert f"| {tag(key.tag)} | {key.vr} | {'R' if key.required else 'O'} | {key.return_type} |" in text, (
            key.keyword
        )
    for rule in RULES:
        assert f"| {tag(rule.tag)} | {rule.create} | {rule.set} | {rule.final} |" in text, rule.keyword
    for uid in {*scp.WORKLIST_CONTEXTS, *scp.STORE_CONTEXTS, *scp.PLAIN, *scp.COMPRESSED}:
        assert f"| {uid} |" in text, uid
    for code in {*status.OF_REFUSAL.values(), status.OUT_OF_RESOURCES, status.CANNOT_UNDERSTAND}:
        assert f"| {code:04X}H |" in text
    assert "{{" not in text and "{%" not in text


def test_the_command(tmp_path):
    """Writes the file, and says whether it is current."""
    path = tmp_path / "docs" / "conformance.md"
    with pytest.raises(CommandError, match="not current"):
        call_command("conformance_statement", check=True, output=path)
    call_command("conformance_statement", output=path)
    call_command("conformance_statement", check=True, output=path)
    path.write_text("old")
    with pytest.raises(CommandError, match="not current"):
        call_command("conformance_statement", check=True, output=path)
