"""What a message asks of items, read by rules: a filter, wishes in words, and what was not understood.

No model takes part, so that a filter always means what it says. Every rule carries the words it was read
from; a limit that no field of the catalogue can hold is reported, never dropped.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from ...models.numbers import read_number
from ...models.records import Item
from .conditions import Missed, Reason, Rule, Understood, merge, where_of
from .quantities import Operator, Quantity, quantities
from .vocabulary import Mention, Place, Vocabulary, fold, kinds_said, sayings

MAX_MESSAGE = 500
"""Characters of a message that are read."""


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SPANS = {"天": 1, "day": 1, "周": 7, "星期": 7, "礼拜": 7, "week": 7, "月": 30, "month": 30}  # in days
_A_KIND = re.compile(r"(?<![a-z])(?:a|an|some|any)(?:[\s\0]+[a-z0-9'-]+){0,2}[\s\0]+$")
_CLAUSE_ENDS = re.compile(
    r"[\s\0]*(?:$|[,.;!?]|(?:please|from|under|with|for|without|but|shorter|no)(?![a-z]))"
)
_UNLIKED = re.compile(  # with a word that looks like a genre; anything else may be an item or a mood
    r"(?<![a-z])(?:hate|dislike|can'?t stand|(?:don'?t|do not) (?:really )?like|not into)"
    r" (?!(?:this|these|those|others|things|its|yours|his|hers|ours|theirs)(?![a-z]))[a-z]{3,}s(?=\s*(?:[.,!]|$))"
    r"|(?:不喜欢|讨厌|不爱看?)[^这那第它他她，。的]{1,6}[片剧类书](?=[，。！]|$)"
)
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_TAKEN = "\0"  # fold leaves none, and no pattern takes it for a space


def understand(
    text: str, vocabulary: Vocabulary, shown: Sequence[Item] = (), today: date | None = None
) -> Understood:
    """Read a message against what the catalogue has.

    Args:
        text: what was said; its first 500 characters are read.
        vocabulary: the fields and values of the catalogue.
        shown: the items that "cheaper" compares with; without them it compares with the catalogue.
        today: what "this year" refers to; without it, the newest year of the catalogue.
    """
    reader = _Reader(text, vocabulary, shown, today)
    for step in (
        reader.titles, reader.cues, reader.times, reader.limits, reader.counts, reader.steps, reader.values,
        reader.kinds, reader.unknown_exclusions,
    ):  # fmt: skip
        step()
    return replace(reader.found, wishes=reader.rest())


def _bounded(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z])(?:{pattern})(?![a-z])")


class _Reader:
    """Reads one message step by step; what a step has used, the next ones do not see."""

    def __init__(self, text: str, vocabulary: Vocabulary, shown: Sequence[Item], today: date | None) -> None:
        self.text = fold(text[:MAX_MESSAGE])
        self.vocabulary = vocabulary
        self.shown = shown
        self.today = today
        self.found = Understood()
        self._cues: dict[str, str] = sayings()["cues"]

    def take(self, start: int, end: int) -> str:
        """Mark a span as used and return what it said."""
        said = self.text[start:end].replace(_TAKEN, " ").strip()
        self.text = self.text[:start] + _TAKEN * (end - start) + self.text[end:]
        return said

    def add(self, *rules: Rule) -> None:
        self.found = replace(self.found, rules=merge(self.found.rules, rules))

    def miss(self, said: str, reason: Reason) -> None:
        self.found = replace(self.found, missed=(*self.found.missed, Missed(said, reason)))

    def cue(self, name: str) -> re.Match[str] | None:
        """The first place where a cue stands."""
        return _bounded(self._cues[name]).search(self.text)

    # --- the steps -------------------------------------------------------------------------------

    def titles(self) -> None:
        """Items named by title, those after "like" apart; a title in brackets that is unknown."""
        for mention in self.vocabulary.titled(self.text):
            like = self._likeness(mention.start, mention.end)
            start, end = like or (mention.start, mention.end)
            self.take(start, end)
            if like:
                self.found = replace(self.found, like=(*self.found.like, mention.item))
            else:
                self.found = replace(self.found, named=(*self.found.named, mention.item))
        for quoted in re.finditer(r"《[^》\0]{1,60}》", self.text):
            self.miss(quoted[0], "no_title")
        called = _bounded(rf"(?:{self._cues['called']})\s?[\"“]?([^\0,，。.?？!！\"”《]{{2,60}})").search(
            self.text
        )
        if called:
            self.miss(called[1].strip(), "no_title")

    def _likeness(self, start: int, end: int) -> tuple[int, int] | None:
        """The span of "like X" around a title; None if the title is only named."""
        cues, quote = self._cues, r"\s*[《\"“「]?\s*$"
        before = re.search(rf"(?<![a-z])(?:{cues['like']}){quote}", self.text[:start])
        joined = re.search(rf"(?:{cues['like_with']}){quote}", self.text[:start])
        after = re.compile(cues["like_after"]).match(self.text, end)
        if not before and not after:
            return None
        first = before or joined
        return first.start() if first else start, after.end() if after else end

    def cues(self) -> None:
        """Words that always hold (unseen), and limits that are taken back."""
        for match in list(_bounded(self._cues["unseen"]).finditer(self.text)):
            self.take(*match.span())
            self.found = replace(self.found, unseen=True)
        for role, called in sayings()["called"].items():
            lifted = _bounded(_lifting(role, called)).search(self.text)
            name = self.vocabulary.attribute(role)
            if lifted:
                self.take(*lifted.span())
                self.found = replace(self.found, lifted=(*self.found.lifted, name or role))

    def times(self) -> None:
        """Today, this week, the last three years: counted back from the newest item or from `today`."""
        days = {"today": 0, "yesterday": 1, "week": 6, "month": 30}
        name = self.vocabulary.attribute("published")
        for cue, back in days.items():
            match = self.cue(cue)
            if match and (name or cue != "today" or match[0].endswith(("的", "s"))):
                self._published(match, name, back)  # "I am tired today" is no condition
        number = r"[\d一二两三四五六七八九十]+|two|three|four|five|six|seven|ten|few|an?|one"
        match = _bounded(self._cues["last_days"].replace("{number}", number)).search(self.text)
        if match:
            count, unit = next((match[c], match[u]) for c, u in ("nu", "mv", "ow", "px") if match[c])
            back = int(read_number(count) or 3) * next(
                length for word, length in _SPANS.items() if word in unit
            )
            self._published(match, name, max(back - 1, 0))
        match = _bounded(self._cues["last_years"].replace("{number}", number)).search(self.text)
        if match:
            self._year(match, "$gte", 1 - int(read_number(match["n"] or match["m"]) or 3))
        self._dates(name)
        for cue, back in (("this_year", 0), ("last_year", -1)):
            match = self.cue(cue)
            if match:
                self._year(match, "$eq", back)

    def _dates(self, name: str | None) -> None:
        """A day of the year, such as 10月5日以后 and "before October 5"."""
        table = sayings()["compare_years"]
        day = self._cues["month_day"]
        pattern = (
            rf"(?P<pre>(?:{table['since_before']}|{table['after_before']}|{table['before_before']})\s?)?"
            rf"(?:{day})(?P<post>{table['later_after']}|{table['earlier_after']})?"
        )
        match = _bounded(pattern).search(self.text)
        if match and name is None and "-" in match[0]:
            return  # "10-20" is a range of something else
        when = _day(match, self.vocabulary.dates.get(name or "", ("", "2000"))[1]) if match else None
        if match is None or when is None:
            return
        said = self.take(*match.span())
        if name is None or name not in self.vocabulary.dates:
            self.miss(said, "no_field")
            return
        self.add(Rule(fields=(name,), operator=_order(match["pre"], match["post"]), value=when, said=said))

    def _published(self, match: re.Match[str], name: str | None, days_back: int) -> None:
        said = self.take(*match.span())
        if name is None or name not in self.vocabulary.dates:
            self.miss(said, "no_field")
            return
        newest = date.fromisoformat(self.vocabulary.dates[name][1][:10])
        since = date.fromordinal(newest.toordinal() - days_back).isoformat()
        self.add(Rule(fields=(name,), operator="$gte", value=since, said=said))

    def _year(self, match: re.Match[str], operator: Operator, offset: int) -> None:
        said = self.take(*match.span())
        name = self.vocabulary.attribute("year")
        if name is None:
            self.miss(said, "no_field")
            return
        newest = self.today.year if self.today else int(self.vocabulary.numbers[name].high)
        self.add(Rule(fields=(name,), operator=operator, value=newest + offset, said=said))

    def limits(self) -> None:
        """Numbers with a unit or a comparison: prices, lengths, years."""
        for one in quantities(self.text, self.vocabulary):
            said = self.take(one.start, one.end)
            self._limit(one, said)

    def _limit(self, one: Quantity, said: str) -> None:
        known = {**self.vocabulary.numbers, **self.vocabulary.dates}
        if one.attribute is None or one.attribute not in known:
            self.miss(said, "no_field")
        elif one.currency and not self._same_currency(one.currency):
            self.miss(said, "currency")
        else:
            dated = one.attribute in self.vocabulary.dates
            for operator, value in one.bounds:
                shown: float | str = _as_date(operator, value) if dated else value
                self.add(Rule(fields=(one.attribute,), operator=operator, value=shown, said=said))

    def _same_currency(self, currency: str) -> bool:
        names = sayings()["currencies"][currency]
        return not self.vocabulary.currencies or any(name in self.vocabulary.currencies for name in names)

    def counts(self) -> None:
        """How many are asked for."""
        number = r"\d{1,3}|[一二两三四五六七八九十]{1,3}|one|two|three|four|five|six|seven|eight|nine|ten"
        match = _bounded(self._cues["count"].replace("{number}", number)).search(self.text)
        if match:
            start, end = next(match.span(name) for name in "nmk" if match[name])
            before = self.text[max(0, start - 1) : start]
            count = int(read_number(self.text[start:end]) or 0)
            if 1 <= count <= 100 and before not in ("第", "前", "那", "这"):
                # The counted noun stays: it may say which kind is meant.
                self.take(start, end + (1 if match["n"] else 0))
                self.found = replace(self.found, count=count)

    def steps(self) -> None:
        """Cheaper, shorter, newer: below or above the middle of what is compared with."""
        for name, pattern in sayings()["more"].items():
            role, _, direction = name.partition("_")
            match = _bounded(pattern).search(self.text)
            if not match:
                continue
            said = self.take(*match.span())
            attribute = self._time_attribute() if role == "time" else self.vocabulary.attribute(role)
            operator: Operator = "$lt" if direction == "down" else "$gt"
            if attribute and self._is_limited(attribute, operator):
                continue  # "too expensive, 150 at most" says how much
            middle = self._middle(attribute) if attribute else None
            if attribute is None or middle is None:
                self.miss(said, "no_field")
                continue
            self.add(Rule(fields=(attribute,), operator=operator, value=middle, said=said))

    def _is_limited(self, attribute: str, operator: Operator) -> bool:
        """Whether the message has set a limit on that side of a field already."""
        side = Rule(fields=(attribute,), operator=operator, value=0).key
        return any(rule.key == side for rule in self.found.rules)

    def _time_attribute(self) -> str | None:
        return self.vocabulary.attribute("year") or self.vocabulary.attribute("published")

    def _middle(self, attribute: str) -> float | str | None:
        """The middle value of the items shown, else of the catalogue (of dates: the newest)."""
        values = sorted(item.attributes[attribute] for item in self.shown if attribute in item.attributes)
        if values and isinstance(values[len(values) // 2], int | float | str):
            return values[len(values) // 2]  # type: ignore[return-value]  # the line above looked
        if attribute in self.vocabulary.numbers:
            return self.vocabulary.numbers[attribute].middle
        return self.vocabulary.dates[attribute][1] if attribute in self.vocabulary.dates else None

    def kinds(self) -> None:
        """Books, films, people: a filter where the catalogue has several kinds."""
        wanted: dict[str, str] = {}
        unwanted: dict[str, str] = {}
        for match, kind in self._kinds_said() if len(self.vocabulary.kinds) > 1 else ():
            negative, after = self._negation(match.start()), self._negation_after(match.end())
            if negative is None and after is None:
                wanted[kind] = match[0]
            else:
                start = match.start() if negative is None else negative
                unwanted[kind] = self.take(start, after or match.end())
        if wanted:
            self.add(_kind_rule("$in", wanted))
        if unwanted:
            self.add(_kind_rule("$nin", unwanted))

    def _kinds_said(self) -> list[tuple[re.Match[str], str]]:
        """Where kinds are named; of overlapping words ("short film") the longest."""
        found = [
            (match, kind)
            for pattern, kind in kinds_said(self.vocabulary.kinds)
            for match in pattern.finditer(self.text)
        ]
        found.sort(key=lambda one: one[0].start() - one[0].end())
        chosen: list[tuple[re.Match[str], str]] = []
        for match, kind in found:
            if all(match.end() <= one.start() or match.start() >= one.end() for one, _ in chosen):
                chosen.append((match, kind))
        return chosen

    def values(self) -> None:
        """Genres, topics and names: kept out, or the only ones let in, where the message says so."""
        mentions = self.vocabulary.mentions(self.text)
        spans = self._negated(mentions)
        out = {
            value
            for mention, span in zip(mentions, spans, strict=True)
            if span
            for _, value in mention.places
        }
        for mention, span in zip(mentions, spans, strict=True):
            if span is not None:
                self._add_values("$nin", mention.places, self.take(*span))
            elif {value for _, value in mention.places} <= out:
                continue  # "scary stuff frightens me, so no horror"
            elif self._is_filter(mention.start, mention.end, mention.places):
                self._add_values("$in", mention.places, self.text[mention.start : mention.end])

    def _negated(self, mentions: Sequence[Mention]) -> list[tuple[int, int] | None]:
        """For each mention what it covers with its negation, which also reaches over "and" and "or"."""
        spans: list[tuple[int, int] | None] = []
        for at, mention in enumerate(mentions):
            start, end = self._negation(mention.start), self._class_end(mention.end)
            before = spans[-1] if spans else None
            if start is None and before and self._joined(before[1], mention.start):
                start = mention.start  # "no horror or mystery"
            after = self._negation_after(end)
            if after is not None:  # 恐怖片和悬疑片都不要, "horror is out"
                start, end = mention.start if start is None else start, after
                for back in range(at - 1, -1, -1):
                    edge = self._class_end(mentions[back].end)
                    if spans[back] or not self._joined(edge, mentions[back + 1].start):
                        break
                    spans[back] = (mentions[back].start, edge)
            spans.append(None if start is None else (start, end))
        return spans

    def _joined(self, start: int, end: int) -> bool:
        """Whether two values are enumerated; Chinese ones may follow each other: 足球篮球都不要."""
        chinese = start == end and not self.text[end].isascii()
        return chinese or re.fullmatch(rf"\s*(?:{self._cues['join']})\s*", self.text[start:end]) is not None

    def _class_end(self, end: int) -> int:
        """Where a word such as "films" or 片 ends that follows a value; `end` if there is none."""
        kinds = "|".join(sayings()["kinds"].values())
        classes = rf"(?:{self._cues['class_after']}|{kinds})(?![a-z])"
        after = re.compile(rf"\s?(?:的)?(?<![a-z]){classes}").match(self.text, end)
        return after.end() if after else end

    def _negation(self, at: int) -> int | None:
        """Where a negation begins that reaches up to `at`; None if there is none."""
        cues = self._cues
        pattern = rf"(?<![a-z])(?:{cues['negative']})(?:\s|(?:{cues['negative_filler']})(?![a-z]))*$"
        match = re.search(pattern, self.text[:at])
        if match and _asks_why(self.text[: match.start()]):
            return None
        return match.start() if match else None

    def _negation_after(self, end: int) -> int | None:
        """Where a negation ends that follows directly; None if there is none."""
        after = re.compile(rf"\s?(?:{self._cues['negative_after']})(?![a-z])").match(self.text, end)
        if after and after[0].startswith(" ") and _CHINESE.match(self.text, after.end()):
            return None  # 喜剧 不要恐怖: it is said of what follows
        return after.end() if after else None

    def _is_filter(self, start: int, end: int, places: Sequence[Place]) -> bool:
        """Whether a value is meant as a condition: "only X", "by X", "X films", "X 类"."""
        only = rf"(?<![a-z])(?:{self._cues['only']}|{self._cues['of_name']})\s*(?:the\s|看|要|有)?\s*$"
        if re.search(only, self.text[:start]):
            return True
        after = self.text[end:]
        if re.match(rf"\s?(?:片|类)?(?:{self._cues['only_after']})(?![a-z])", after):
            return True
        if after.startswith("的") and any(name != "tags" for name, _ in places):
            return True
        genre = any(name in ("genre", "category") for name, _ in places)
        if genre and _A_KIND.search(self.text[:start]) and _CLAUSE_ENDS.match(after):
            return True  # "a good 90s comedy"
        return self._class_end(end) > end

    def _add_values(self, operator: Operator, places: Sequence[Place], said: str) -> None:
        fields = tuple(dict.fromkeys(name for name, _ in places))
        values = tuple(dict.fromkeys(value for _, value in places))
        self.add(Rule(fields=fields, operator=operator, value=values, said=_plain(said)))

    def unknown_exclusions(self) -> None:
        """A negation before words that no field holds: said, since nothing can enforce it."""
        strong = "不要|别推荐|不想看|不想要|除了|去掉|排除|no|without|except|exclude|anything but|avoid"
        pattern = rf"(?<![a-z])(?:{strong})(?![a-z])\s?([^\0,，。.!?;；]{{2,20}})"
        negated = [*re.finditer(pattern, self.text), *_UNLIKED.finditer(self.text)]
        found = [one for one in negated if not _asks_why(self.text[: one.start()])]
        after = r"[\u4e00-\u9fff]{2,8}的(?:就|都|也|我)*(?:不要(?!紧)|不看|不想看|别推|别来|别给我|免了|算了|少来|少推)"
        found += re.finditer(after, self.text)
        for match in found:
            self.miss(self.take(*match.span()), "no_value")

    def rest(self) -> str:
        """What is left to be searched by meaning, in one line."""
        left = strip_fillers(_plain(self.text))
        return "" if _is_generic(left) else left


def _asks_why(before: str) -> bool:
    """Whether a negation that follows is part of a question: "why no headphones"."""
    there = r"(?: (?:are|is) there| there (?:are|is)| do you have| you have)?"
    why = rf"(?:(?:why|how come){there}|(?:为什么|为啥|怎么|为何|咋)(?:就|都|会)?)\s*$"
    return re.search(why, before) is not None


def _lifting(role: str, called: str) -> str:
    """The pattern of what takes back the limits of a field."""
    table = sayings()["lifted"]
    return "|".join([table["any"].replace("{called}", called), *([table[role]] if role in table else [])])


def _day(match: re.Match[str], newest: str) -> str | None:
    """The date that was said, in the year of the newest item unless it names one; None if there is none."""
    month = _MONTHS.index(match["name"]) + 1 if match["name"] else int(match["m"])
    try:
        return date(int(match["y"] or newest[:4]), month, int(match["day"] or match["d"])).isoformat()
    except ValueError:
        return None


def _order(before: str | None, after: str | None) -> Operator:
    table = sayings()["compare_years"]
    if before:
        return "$lt" if re.match(table["before_before"], before) else "$gte"
    if after:
        return "$lt" if re.match(table["earlier_after"], after) else "$gte"
    return "$eq"


def _is_generic(text: str) -> bool:
    """Whether words ask for nothing in particular: "今晚看什么好", "what should I read next"."""
    generic = sayings()["generic"]
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
            fillers = sayings()["fillers"][language]
            first, last = (r"", r"") if language == "zh" else (r"(?![a-z'])", r"(?<![a-z'])")
            text = re.sub(rf"^(?:{fillers}){first}", "", text).strip(edges)
            text = re.sub(rf"{last}(?:{fillers})$", "", text).strip(edges)
    return text


def _kind_rule(operator: Operator, said: dict[str, str]) -> Rule:
    return Rule(fields=("kind",), operator=operator, value=tuple(said), said=" ".join(said.values()))


def _plain(said: str) -> str:
    return " ".join(said.replace(_TAKEN, " ").split())


def _as_date(operator: str, year: float) -> str:
    """The date that a year begins with, or ends with where it is an upper limit that includes it."""
    whole = int(year)
    return f"{whole:04d}-12-31" if operator in ("$lte", "$gt") else f"{whole:04d}-01-01"


__all__ = ["MAX_MESSAGE", "Missed", "Rule", "Understood", "merge", "understand", "where_of"]
