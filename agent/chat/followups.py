"""What a message takes up from the one before: "no, I meant the third", 那第二个呢, "and number 4?".

The call is the one before with other items; a correction takes back what that call changed.
"""

import re

from ...models.records import Language
from . import calls
from .calls import ChatState
from .references import References

_ENDS = " 。.!！?？~～,，"
_CORRECTS: dict[Language, re.Pattern[str]] = {
    "zh": re.compile(
        r"(?:啊|哦|哎呀?|唉)?(?:不对|不是|不不|错了|说错了?|搞错了?|弄错了?|选错了?|等等|等一下|抱歉|不好意思|不)"
        r"[,，。!！ 、]*(?:我(?:刚才)?(?:说|指|要|想说|想要|要说|的意思)的?是|应该是|要的是|是|改成)?"
        r"(?:这个[,，和 ]*)+(?:才对|才是)?[啊呀吧啦]?"
        r"|我(?:刚才)?(?:说|指|想说|要说)的?(?:其实)?是(?:这个[,，和 ]*)+[啊呀吧啦]?"
    ),
    "en": re.compile(
        r"(?:(?:no|nope|sorry|oops|whoops|wait|actually|hang on|not that(?: one)?|wrong one|my mistake)[,.!; ]+)+"
        r"(?:i (?:meant|mean|was (?:talking about|thinking of)) |make (?:it|that) |it's |it was |rather )?(?:the )?"
        r"(?:this one(?:,? and |, | )?)+(?: instead| rather|,? sorry)?"
        r"|(?:sorry,? )?i (?:meant|mean|was (?:talking about|thinking of)) (?:this one(?:,? and |, | )?)+"
        r"(?: instead| rather|,? sorry)?"
    ),
}
_NEXT: dict[Language, re.Pattern[str]] = {
    "zh": re.compile(r"(?:那|那么)?(?:这个[,，和 ]*)+(?:呢|又?怎么样呢?|如何)|(?:那|再)(?:看看)?(?:这个)+"),
    "en": re.compile(r"(?:and |so |ok(?:ay)?,? |then |what about |how about |the )*this one(?: then)?"),
}


def take_up(refers: References, state: ChatState, language: Language) -> calls.Call | None:
    """The call before with the items of this message, if that is all that it says; None otherwise."""
    last, said = state.last, refers.plain.strip(_ENDS)
    if last is None or not refers.items:
        return None
    if _CORRECTS[language].fullmatch(said):
        return _again(last, refers.items)
    if isinstance(last, calls.Explain) and last.do != "compare" and _NEXT[language].fullmatch(said):
        return last.model_copy(update={"items": refers.items})
    return None


def _again(last: calls.Call, items: tuple[str, ...]) -> calls.Call | None:
    """The same call about other items, in the place of the one before."""
    match last:
        case calls.Explain() if last.do != "compare" or len(items) > 1:
            return last.model_copy(update={"items": items})
        case calls.Feedback():
            return last.model_copy(update={"items": items, "instead": True})
        case calls.Refine() if last.do in ("more", "less"):
            return last.model_copy(update={"item": items[0], "instead": True})
    return None


__all__ = ["take_up"]
