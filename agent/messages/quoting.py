"""How a sentence shows a title or the words of a search."""

from ...models.records import Item, Language
from ...models.text import clean

_TITLE_SHOWN = 80
_IN_BRACKETS = frozenset(
    {"book", "film", "movie", "series", "documentary", "short", "article", "album", "song"}
)
_INNER = str.maketrans({"“": "‘", "”": "’", '"': "'"})


def quoted(title: str, item: Item | None, language: Language) -> str:
    """A title as a sentence shows it; words without an item stand in plain quotation marks."""
    name = clean(title, _TITLE_SHOWN)
    if language == "zh" and name.startswith("《") and name.endswith("》") and name.count("《") == 1:
        return name
    if language == "zh" and item is not None and item.kind.casefold() in _IN_BRACKETS and "《" not in name:
        return f"《{name}》"
    return f"“{name.translate(_INNER)}”"
