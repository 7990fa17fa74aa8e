"""Words of a request that carry no content: polite fillers, and phrases such as "what should I watch"."""

import re

from .vocabulary import phrase_tables


def is_generic(text: str) -> bool:
    """Whether words ask for nothing in particular: "今晚看什么好", "what should I read next"."""
    generic = phrase_tables()["generic"]
    return bool(
        re.fullmatch(
            rf"(?:(?:{generic['zh']})|(?<![a-z'])(?:{generic['en']})(?![a-z'])|[\s?？。.!！,，])*", text
        )
    )


def strip_fillers(text: str) -> str:
    """A folded text without the polite words at its ends: "请给我推荐科幻的" becomes "科幻"."""
    edges = " ,，。.、;；:：!！?？~～\"'“”《》「」()（）-"
    previous = ""
    while previous != text:
        previous = text
        text = text.strip(edges)
        for language in ("zh", "en"):
            fillers = phrase_tables()["fillers"][language]
            first, last = (r"", r"") if language == "zh" else (r"(?![a-z'])", r"(?<![a-z'])")
            text = re.sub(rf"^(?:{fillers}){first}", "", text).strip(edges)
            text = re.sub(rf"{last}(?:{fillers})$", "", text).strip(edges)
    return text


__all__ = ["is_generic", "strip_fillers"]
