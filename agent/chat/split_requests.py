"""Two requests in one message: "seen the first one, show me something shorter" is feedback and a list.

A message is split only where both halves are complete and one of them is feedback or undo, or both ask for
an explanation. Two conditions on one list are one request and stay together.
"""

import re
from collections.abc import Callable

_REMEMBERS = frozenset({"like", "dislike", "seen", "not_interested", "undo"})
_EXPLAINS = frozenset({"why", "why_not", "about", "compare"})
_FOLLOWS = _REMEMBERS | {"other", "narrow", "more", "less", "report", "show", "why", "about"}
_CUT = re.compile(
    r"(?:\s*(?:[,，;；。!！?？]|\.(?=\s|$))+|(?<=[\u4e00-\u9fff])\s+(?=[\u4e00-\u9fff])|\s(?=(?:and|but|then|also) ))"
    r"\s*(?:(?:and|but|then|also|so|plus|now) )*(?:顺便|另外|然后|而且|不过|但是?)?"
)
_ASKS = re.compile(
    r"(?:can (?:you|i|we) |please |maybe |i(?:'d like| want| need) (?:to see )?|let's see )*"
    r"(?:show|give|find|recommend|suggest|more|another|something|anything|any|what else|got)(?![a-z])"
    r"|(?:再|请|就|帮我|给我|我?想要?)*(?:来|换|推荐|找|看看|看点|有没有|有什么|还有|多来|给我)"
)


def split_request(text: str, sure: Callable[[str], str | None]) -> tuple[str, ...]:
    """The message, or its two requests in the order of execution.

    Feedback comes first: it is about the list that is shown now.

    Args:
        text: a folded message.
        sure: returns the action of a text that a rule decides, None otherwise.

    Returns:
        One or two texts.
    """
    for cut in _CUT.finditer(text):
        left, right = text[: cut.start()].strip(), text[cut.end() :].strip()
        if not left or not right:
            continue
        first, second = sure(left), sure(right)
        if first in _EXPLAINS and second in _EXPLAINS and first != second:
            return left, right
        if first in _REMEMBERS and (second in _FOLLOWS or (second is None and _ASKS.match(right))):
            return left, right
        if second in _REMEMBERS and (first in _FOLLOWS or (first is None and _ASKS.match(left))):
            return right, left
    return (text,)


__all__ = ["split_request"]
