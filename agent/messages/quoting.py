"""How a sentence shows a title or the words of a search."""

from ...models.records import Item, Language
from ...models.text import clean

_TITLE_SHOWN = 80
_IN_BRACKETS = frozenset(
    {"book", "film", "movie", "series", "documentary", "short", "article", "album", "song"}
)
_INNER = str.maketrans({"“": "‘", "”": "’", '"': "'"})


def quoted(title: str, item: Item | None, language: Language) -> str:
    """A title or the words of a search as a sentence shows them.

    Args:
        title: the title or the words; cut to 80 characters.
        item: the item of the title, None for words.
        language: Chinese puts 《》 around the titles of works, otherwise there are quotation marks.

    Returns:
        The text with its marks; inner quotation marks become single.
    """
    name = clean(title, _TITLE_SHOWN)
    if language == "zh" and name.startswith("《") and name.endswith("》") and name.count("《") == 1:
        return name
    if language == "zh" and item is not None and item.kind.casefold() in _IN_BRACKETS and "《" not in name:
        return f"《{name}》"
    return f"“{name.translate(_INNER)}”"
