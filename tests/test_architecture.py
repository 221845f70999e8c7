"""The house rules that a program can check: which package may import which, and how large a file may be."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ris", "worklist", "hl7")
COMPOSITION_ROOT = {"ris/settings.py", "ris/urls.py"}
#: package -> what its modules may not import. Arrows point inward (DESIGN section 1).
FORBIDDEN = {
    "ris": {"worklist", "hl7", "pynetdicom", "pydicom", "hl7apy", "tests"},
    "worklist": {"hl7", "hl7apy", "tests"},
    "hl7": {"worklist", "pynetdicom", "pydicom", "tests"},
}
#: What an edge may import of the domain: never views, API, forms or admin. ``ris.access`` guards its pages.
DOMAIN = {
    "ris.access",
    "ris.services",
    "ris.selectors",
    "ris.inputs",
    "ris.errors",
    "ris.states",
    "ris.models",
    "ris.processes",
    "ris.supervisor",
    "ris.identifiers",
    "ris.networks",
    "ris.sight",
    "ris.visibility",
}


def modules(package: str) -> list[Path]:
    return [path for path in (ROOT / package).rglob("*.py") if "migrations" not in path.parts]


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names) if module == "ris" else (module,)


ALL = [(package, path) for package in PACKAGES for path in modules(package)]
IDS = [str(path.relative_to(ROOT)) for _package, path in ALL]


@pytest.mark.parametrize(("package", "path"), ALL, ids=IDS)
def test_arrows_point_inward(package, path):
    """No module imports what its package must not know."""
    names = set(imported(path))
    assert not {name for name in names if name.split(".")[0] in FORBIDDEN[package]}
    if package != "ris":
        domain = {name for name in names if name.split(".")[0] == "ris"}
        assert not {name for name in domain if ".".join(name.split(".")[:2]) not in DOMAIN}


def test_only_the_composition_root_names_the_edges():
    """In ris only settings and urls spell the names of the edges' packages."""
    named = re.compile(r"[\"'](worklist|hl7)(\.[a-z_.]+)?[\"']")
    naming = {str(path.relative_to(ROOT)) for path in modules("ris") if named.search(path.read_text(encoding="utf-8"))}
    assert naming <= COMPOSITION_ROOT | {"ris/processes.py", "ris/management/commands/demo.py"}


@pytest.mark.parametrize(("package", "path"), ALL, ids=IDS)
def test_files_stay_small(package, path):
    """A file that grows past 300 lines wants to be two."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_no_drawers():
    """No module is named after nothing."""
    assert not [path for _package, path in ALL if path.stem in {"utils", "helpers", "common", "manager"}]


def test_no_registry_host_in_the_locks():
    """The lock files hold names, versions and hashes, and no address."""
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text
        assert "--hash=sha256:" in text
    scanner = json.loads((ROOT / "tests/peers/javascript/package-lock.json").read_text(encoding="utf-8"))
    packages = [package for path, package in scanner["packages"].items() if path]
    assert packages and all("integrity" in package and "resolved" not in package for package in packages)


def test_views_and_api_write_no_status():
    """Only services change a status: views and API never assign one."""
    writes = re.compile(r"\.(status|on_hold|mismatch)\s*=[^=]")
    for folder in ("views", "api"):
        for path in (ROOT / "ris" / folder).rglob("*.py"):
            assert not writes.search(path.read_text(encoding="utf-8")), path
