"""Loaded before Django's settings are read: the tests keep their data in a folder of their own."""

import os
import tempfile
from pathlib import Path

_memory = Path("/dev/shm")
os.environ["SUNVIEW_DATA_DIR"] = tempfile.mkdtemp(prefix="sunview-tests-", dir=_memory if _memory.is_dir() else None)
os.environ["SUNVIEW_TIME_ZONE"] = "Europe/Dublin"
