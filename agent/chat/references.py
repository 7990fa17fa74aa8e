"""References of a message to items: "the second one", 最后一个, "1 and 3", 《a title》, "it"; resolved by code.

They are resolved to items of the list that is shown or of the catalogue, and to nothing else.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...models.numbers import read_number
from ...models.records import Item, Language
from ...models.text import fold
from . import tool_calls as calls
from .tool_calls import ChatState
from .vocabulary import Vocabulary, phrase_tables

_ZH_UNIT = "[个部本条篇款件位首样名集只张号则]"
_ZH_NUMBER = "[一二两三四五六七八九十]{1,3}|[0-9]{1,3}"
_ZH_NUMERALS = "一二两三四五六七八九十"
_EN_ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8,
    "ninth": 9, "tenth": 10, "1st": 1, "2nd": 2, "3rd": 3, "4th": 4, "5th": 5, "6th": 6, "7th": 7, "8th": 8,
    "9th": 9, "10th": 10,
}  # fmt: skip
_EN_THING = (
    "ones?|films?|movies?|books?|articles?|stor(?:y|ies)|items?|picks?|products?|posts?|person|people|accounts?|"
    "series|shows?|documentar(?:y|ies)|things?|suggestions?|recommendations?|options?"
)
_EN_COUNTS = "two|three|four|five|2|3|4|5"
_ORDINALS = "|".join(_EN_ORDINALS)

_AFTER_FEW = r"(?! ?(?:days?|weeks?|months?|years?|hours?|minutes?))(?![a-z0-9])"
_NO_TIME = r"(?! (?:[a-z0-9]+ )?(?:days?|weeks?|months?|years?|time|few))"
_UNITS = "dollars|bucks|yuan|euros|pounds|quid|minutes|mins|hours|days|weeks|years|more|other|new"
_NO_UNIT = rf"(?![0-9.,%a-z]|\s?[元块分小天年月岁折页万千百]|\s?(?:{_UNITS})(?![a-z]))"
_NO_COUNT = r"(?<![0-9.,a-z$¥€£])(?<!give me )(?<!show me )(?<!top )(?<!first )"

_FIRST_FEW = re.compile(
    rf"(?<![a-z])(?:the )?(?P<edge>first|last) (?P<en>{_EN_COUNTS})"
    rf"(?: of (?:them|these))?(?: (?:{_EN_THING}))?{_AFTER_FEW}"
    rf"|(?P<zhedge>前|后|最后)(?:面)?(?P<zh>[两二三四五2345])(?={_ZH_UNIT})(?!个?小时){_ZH_UNIT}"
)
_FROM_END = re.compile(
    rf"倒数第(?P<n>{_ZH_NUMBER}){_ZH_UNIT}?"
    rf"|(?P<last>(?:最后(?:面)?|最下面|末尾|垫底)的?那?一?{_ZH_UNIT})"
    rf"|(?<![a-z])(?P<lasten>(?:the )?(?:very )?last (?:{_EN_THING})|the (?:very )?last{_NO_TIME}|last one"
    rf"|(?<=or )last{_NO_TIME}|(?<=and )last{_NO_TIME}|the bottom one|the one at the bottom)(?![a-z])"
    r"|(?<![a-z])(?P<butone>(?:the )?second to last(?: one)?)(?![a-z])"
)
_NTH = re.compile(
    rf"第\s?(?P<zh>{_ZH_NUMBER})\s?{_ZH_UNIT}?|(?<![月\d])(?P<no>{_ZH_NUMBER})\s?号(?![线楼馆门院])"
    rf"|(?P<head>头一?{_ZH_UNIT}(?!新闻)|(?:最上面|最前面|打头|排头)的?那?一?{_ZH_UNIT}"
    r"|(?<![a-z])(?:the )?top (?:one|pick|result|item|story|film|movie|book|post)(?![a-z])"
    r"|the one (?:on|at the) top)"
    rf"|(?<![a-z0-9])(?:the )?(?P<en>{_ORDINALS})(?: (?:{_EN_THING}))?(?![a-z0-9])"
    r"|(?<![a-z])(?:number|no\.?|item|pick|option|film|movie|book|article|post|#)\s?(?P<num>[0-9]{1,3})(?![0-9])"
    r"|#\s?(?P<hash>[0-9]{1,3})"
    r"|(?<![a-z] )(?<![a-z])(?P<subject>two|three|four|five)(?= (?:looks?|sounds?|seems?|is|has)(?![a-z]))"
    r"|(?<![a-z])(?:number|item) (?P<word>one|two|three|four|five|six|seven|eight|nine|ten)(?![a-z])"
)
_MIDDLE = re.compile(
    rf"(?:正)?中间的?那?一?{_ZH_UNIT}|(?<![a-z])the (?:one in the middle|middle (?:{_EN_THING}))"
)
_WORDS = "one|two|three|four|five|six|seven|eight|nine|ten"
_PAIR = re.compile(
    rf"(?<![第\d{_ZH_NUMERALS}])(?P<a>[{_ZH_NUMERALS}])号?\s?(?:[和跟与、]|还是)\s?(?P<b>[{_ZH_NUMERALS}])号?"
    rf"(?![{_ZH_NUMERALS}\d]|{_ZH_UNIT}|[元块分小天年月岁折页万千百起])"
    rf"|(?<![a-z])(?:numbers? )?(?P<c>{_WORDS}) (?:and|or|with|to|from|vs\.?|versus|against) (?P<d>{_WORDS})"
    rf"(?![a-z]| (?:{_UNITS}|hundred|thousand|more|other|of)(?![a-z]))"
)
_BARE = re.compile(rf"{_NO_COUNT}(?P<n>[0-9]{{1,2}}){_NO_UNIT}")
_ALL = re.compile(
    r"(?:这|那)(?:几|些|两|三|俩)(?:个|部|本|条|篇|款|件|位)?|它们|他们|她们|全部|所有的?|都"
    r"|(?<![a-z])(?:all (?:of (?:them|these|those))?|these(?: two| three)?|those(?: two)?|them all"
    r"|both(?: of them)?|everything)(?![a-z])"
)
_IT = re.compile(
    rf"(?:刚才|刚刚|上面|刚)?(?:的)?(?:这|那){_ZH_UNIT}(?:人|片子|片|剧|书|东西|文章)?"
    r"|(?:这|那)(?:本书|部电影|人|片子)|它(?!们)|(?<![其吉维])他(?![们人乡])|她(?!们)"
    r"|这样的?|这种|这类|此(?:人|书|片)"
    rf"|(?<![a-z])(?:it|its|him|her|(?:this|that)(?: (?:{_EN_THING}))?|the same)(?![a-z])"
    r"(?!'s (?:all|enough|great|fine|ok))"
)
_NTH_INTEREST = re.compile(
    rf"(?<![a-z])(?:the |my )?(?P<en>{_ORDINALS}) (?:of my )?interests?(?![a-z])"
    r"|(?<![a-z])(?:the |my )?interest (?:number |no\.? ?|#\s?)?(?P<num>[0-9]{1,2})(?![0-9])"
    rf"|我?的?第\s?(?P<zh>{_ZH_NUMBER})\s?[个条项]兴趣|兴趣\s?(?P<no>[0-9]{{1,2}})(?![0-9])"
)
_HEAD = re.compile(r"[:：,，\-–—|(（?？!！]")
_THE_X_ONE = re.compile(r"(?<![a-z])the ([a-z-]{3,20}) (?:one|film|movie|book|article|post)(?![a-z])")
_ABOUT_X = re.compile(
    r"(?:讲|关于|有|叫|写)([\u4e00-\u9fff]{1,6}?)的?那[个部本条篇位]"
    r"|那[个部本条篇位](?:讲|关于|写)([\u4e00-\u9fff]{1,6})"
    r"|那[个部本条篇位款]([\u4e00-\u9fff]{1,6})的"
)


@dataclass(frozen=True, slots=True)
class References:
    """Items spoken of, in the order of speaking, without repeats.

    `wrong` are numbers that no shown item has. `plain` is the message with every reference replaced by
    "this one", for comparing it with examples. `by_name` says that a title was used. `vague` says that
    the item was only pointed at ("it", "this").
    """

    items: tuple[str, ...] = ()
    wrong: tuple[int, ...] = ()
    plain: str = ""
    by_name: bool = False
    vague: bool = False


def find_references(text: str, shown: Sequence[Item], last: str | None, vocabulary: Vocabulary) -> References:
    """Resolve the references of a message.

    Args:
        text: the message.
        shown: the numbered list on the screen.
        last: the item that "it" means: the latest one spoken of.
        vocabulary: titles that may be named.

    Returns:
        The references; empty if there are none.
    """
    finder = _Finder(fold(text), shown, vocabulary)
    finder.titles()
    finder.numbered()
    if not finder.found and not finder.wrong:
        finder.described()
    if not finder.found and not finder.wrong:
        finder.pointed(last)
    return finder.result()


def interest_number(text: str) -> tuple[int, int, int] | None:
    """Where a folded text names an interest by its place in the list, and the place: "the second interest"."""
    match = _NTH_INTEREST.search(text)
    if match is None:
        return None
    digits = match["num"] or match["zh"] or match["no"]
    number = _EN_ORDINALS[match["en"]] if match["en"] else int(read_number(digits) or 0)
    return *match.span(), number


class _Finder:
    def __init__(self, text: str, shown: Sequence[Item], vocabulary: Vocabulary) -> None:
        self.text = text
        self.shown = shown
        self.vocabulary = vocabulary
        self.found: list[tuple[int, int, str]] = []
        self.wrong: list[int] = []
        self.spans: list[tuple[int, int]] = []
        self.by_name = False
        self.vague = False

    def titles(self) -> None:
        """Whole titles of the catalogue, and the beginnings of titles that are shown."""
        for mention in self.vocabulary.titled(self.text):
            self._add(mention.start, mention.end, mention.item)
            self.by_name = True
        for item in self.shown:
            head = _HEAD.split(fold(item.title).strip("《》\"'"))[0].strip()
            long_enough = len(head) >= 2 if not head.isascii() else len(head) >= 6
            at = self.text.find(head) if long_enough else -1
            if at >= 0 and self._is_free(at, at + len(head)):
                self._add(at, at + len(head), item.id)
                self.by_name = True

    def numbered(self) -> None:
        """Numbers and places in the list; bare digits only where no other reference stands."""
        for match in _FIRST_FEW.finditer(self.text):
            self._few(match)
        for match in _FROM_END.finditer(self.text):
            back = 2 if match["butone"] else int(read_number(match["n"]) or 1) if match["n"] else 1
            self._place(match, len(self.shown) + 1 - back)
        for match in _NTH.finditer(self.text):
            self._place(match, _ordinal(match))
        for match in _MIDDLE.finditer(self.text):
            if len(self.shown) % 2:
                self._place(match, len(self.shown) // 2 + 1)
        for match in _PAIR.finditer(self.text):
            self._pair(match)
        for match in _BARE.finditer(self.text):
            if int(match["n"]) <= len(self.shown):  # any larger one may count something else
                self._place(match, int(match["n"]))

    def pointed(self, last: str | None) -> None:
        """What "these" (all that is shown) and "it" (spoken of last, or the only one shown) stand for."""
        match = _ALL.search(self.text)
        if match and self.shown:
            for item in self.shown:
                self._add(match.start(), match.end(), item.id)
            self.vague = True
            return
        match = _IT.search(self.text)
        only = self.shown[0].id if len(self.shown) == 1 else None
        target = last or only
        if match:
            self.vague = True
            self.spans.append(match.span())
            if target:
                self.found.append((*match.span(), target))

    def described(self) -> None:
        """A word that only one shown item has in its title or tags: "the robot one", 讲狼的那部.

        Or the one that has the most or the least of something: "the cheapest one".
        """
        for name, pattern in phrase_tables()["most"].items():
            role, _, direction = name.partition("_")
            match = re.search(rf"(?<![a-z])(?:{pattern})(?![a-z])", self.text)
            values = {one.id: one.attributes.get(self.vocabulary.attribute(role) or "") for one in self.shown}
            numbers = {id_: float(one) for id_, one in values.items() if isinstance(one, int | float)}
            if match and numbers:
                chosen = (max if direction == "up" else min)(numbers, key=numbers.__getitem__)
                self._add(*match.span(), chosen)
                return
        words = [match[1] for match in _THE_X_ONE.finditer(self.text)]
        words += [match[1] or match[2] or match[3] for match in _ABOUT_X.finditer(self.text)]
        for word in words:
            having = [item for item in self.shown if word in fold(f"{item.title} {' '.join(item.tags)}")]
            at = self.text.find(word)
            if len(having) == 1:
                self._add(at, at + len(word), having[0].id)

    def result(self) -> References:
        ids = [item for _, _, item in sorted(self.found, key=lambda one: one[0])]
        return References(
            tuple(dict.fromkeys(ids)),
            tuple(dict.fromkeys(self.wrong)),
            self._plain(),
            self.by_name,
            self.vague,
        )

    def _few(self, match: re.Match[str]) -> None:
        count = int(read_number(match["en"] or match["zh"]) or 0)
        first = (match["edge"] or match["zhedge"]) in ("first", "前")
        for item in self.shown[:count] if first else self.shown[-count:]:
            self._add(match.start(), match.end(), item.id)

    def _place(self, match: re.Match[str], number: int) -> None:
        if not self._is_free(*match.span()) or not self.shown:
            return
        if 1 <= number <= len(self.shown):
            self._add(match.start(), match.end(), self.shown[number - 1].id)
        else:
            self.wrong.append(number)
            self.spans.append(match.span())

    def _pair(self, match: re.Match[str]) -> None:
        """Two numbers in words that are both in the list: 一和三, "two or four"."""
        names = ("a", "b") if match["a"] else ("c", "d")
        numbers = [int(read_number(match[name]) or 0) for name in names]
        exist = all(1 <= one <= len(self.shown) for one in numbers)
        if exist and numbers[0] != numbers[1] and self._is_free(*match.span()):
            for name, number in zip(names, numbers, strict=True):
                self._add(*match.span(name), self.shown[number - 1].id)

    def _add(self, start: int, end: int, item: str) -> None:
        self.found.append((start, end, item))
        self.spans.append((start, end))

    def _is_free(self, start: int, end: int) -> bool:
        return all(end <= one or start >= other for one, other in self.spans)

    def _plain(self) -> str:
        """The message with its references made alike."""
        text, at, parts = self.text, 0, []
        for start, end in sorted(set(self.spans)):
            if start < at:
                continue
            chinese = any("\u4e00" <= char <= "\u9fff" for char in self.text)
            parts += [text[at:start].rstrip("《"), "这个" if chinese else "this one"]
            at = end
        return "".join([*parts, text[at:].removeprefix("》")]).replace("》", "")


def _ordinal(match: re.Match[str]) -> int:
    """The number that an ordinal says; 0 if it says none."""
    if match["head"]:
        return 1
    if match["en"]:
        return _EN_ORDINALS[match["en"]]
    digits = match["zh"] or match["no"] or match["num"] or match["hash"] or match["word"] or match["subject"]
    return int(read_number(digits) or 0)


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
