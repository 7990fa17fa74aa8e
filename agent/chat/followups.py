"""Follow-ups: messages that repeat the latest call with other items: "no, I meant the third", 那第二个呢.

A correction also undoes what that call changed.
"""

import re

from ...models.records import Language
from . import tool_calls as calls
from .references import References
from .tool_calls import ChatState

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


def resolve_followup(references: References, state: ChatState, language: Language) -> calls.Call | None:
    """The latest call with the items of a message, if the message is a follow-up and nothing else.

    Args:
        references: the items that the message refers to.
        state: the state of the conversation, with the latest call.
        language: of the message.

    Returns:
        The call, or None for any other message.
    """
    last, text = state.last, references.plain.strip(_ENDS)
    if last is None or not references.items:
        return None
    if _CORRECTS[language].fullmatch(text):
        return _corrected(last, references.items)
    if isinstance(last, calls.Explain) and last.do != "compare" and _NEXT[language].fullmatch(text):
        return last.model_copy(update={"items": references.items})
    return None


def _corrected(last: calls.Call, items: tuple[str, ...]) -> calls.Call | None:
    """The same call about other items, instead of the latest one."""
    match last:
        case calls.Explain() if last.do != "compare" or len(items) > 1:
            return last.model_copy(update={"items": items})
        case calls.Feedback():
            return last.model_copy(update={"items": items, "instead": True})
        case calls.Refine() if last.do in ("more", "less"):
            return last.model_copy(update={"item": items[0], "instead": True})
    return None


__all__ = ["resolve_followup"]
