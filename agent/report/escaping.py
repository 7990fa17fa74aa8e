"""Text that Markdown, HTML and JSON show as it is, whatever it says."""

import re

_MARKDOWN = re.compile(r"[\\`*_{}\[\]#|~!@$^]|(?<=\])\(|://|(?<![a-z])www\.", re.IGNORECASE)
_LEADING = re.compile(
    r"^(?:\d{1,9}(?=[.)](?:\s|$))|(?=[-+=](?!\d)))"
)  # would begin a list, a rule or a heading
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# What could end a script element, or turn the text around it when the file is shown.
_JSON = re.compile(
    "[<>&\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)


def markdown(value: object) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no link, not even a bare address."""
    escaped = _MARKDOWN.sub(lambda found: _backslash(found[0]), str(value))
    return _LEADING.sub(lambda found: f"{found[0]}\\", escaped).translate(_HTML)


def _backslash(text: str) -> str:
    return f"\\{text}" if len(text) == 1 else text.replace(":", "\\:").replace(".", "\\.")


def json_text(document: str) -> str:
    """The same JSON with every character escaped that HTML or a terminal might act upon."""
    return _JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", document)
