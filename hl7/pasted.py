r"""What people paste is seldom the bare message: a log, a web page, JSON or a mail stands around it. What is not of the
message is left out here, for the page only: a listener takes what comes as it comes.

A text with a segment MSH and others, each on a line of its own, is a message already and is left as it is.
"""

import html
import re

_BEGIN = "MSH|"
_SEGMENT = re.compile(r"(?<![A-Za-z0-9|^~&\\])[A-Z][A-Z0-9]{2}\|")
#: A line end that was made visible: JSON's, a viewer's, a terminal's.
_LINE_ENDS = re.compile(
    r"(?:\\r\\n|\\[rn]|<(?:CR|LF|0x0D|0x0A)>|\[(?:CR|LF)\]|\^M)+\s*(?=[A-Z][A-Z0-9]{2}\||\W*$)", re.I
)
#: MLLP's own bytes that were made visible.
_FRAME = re.compile(r"<(?:VT|SB|FS|EB|CR|0x0B|0x1C|0x0D)>|\[(?:VT|FS)\]|\\x(?:0b|1c|0d)|\\u00(?:0b|1c)|\^[K\\M]", re.I)
_END = re.compile(r"(?:\s|[\"'}\]]|</\w+>)+\Z")


def message_in(text: str) -> str:
    """The message in a pasted text; the text itself if it is one, or none is found."""
    if _BEGIN not in text or _is_message(text):
        return text
    if "\\&amp;" in text:
        text = html.unescape(text)
    text = _LINE_ENDS.sub("\n", text)
    if "^~\\\\&" in text:  # JSON writes each backslash twice
        text = text.replace("\\\\", "\\")
    rows = text[text.index(_BEGIN) :].split("\n")
    rows = [_FRAME.sub("", row) if index in (0, len(rows) - 1) else row for index, row in enumerate(rows)]
    begins = [_SEGMENT.search(row) for row in rows]
    found = [row[begin.start() :].rstrip() for row, begin in zip(rows, begins, strict=True) if begin]
    return _END.sub("", "\n".join(found)) or text


def _is_message(text: str) -> bool:
    lines = [line.lstrip("\ufeff\x00\x0b \t") for line in text.splitlines()]
    return any(line.startswith(_BEGIN) for line in lines) and sum(bool(_SEGMENT.match(line)) for line in lines) > 1
