"""How the command line prints a profile and a run, in the language of the profile."""

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ...models.records import Interest, Profile, Recommendation, Run
from ...models.text import clean
from ..messages import Messages, clip, counterfactual_text, messages_for, percent
from .console import out, say

_TITLES = 2
_TITLES_IN_FULL = 3
_TITLE, _NAME = 22, 30  # columns: two titles fit beside a name and a share
_HIGH, _MEDIUM = 0.6, 0.3  # from these probabilities on, the model is called sure of a name


def print_interests(profile: Profile, titles: dict[str, str], name: str) -> None:
    """Print the interests as a narrow table: name, share of the history, and what each rests on.

    Negative interests follow in a line of their own.

    Args:
        profile: the profile to print.
        titles: by event id, what each event was about.
        name: what the user is called.
    """
    words = messages_for(profile.language, "cli")
    out.print(Text(words.say("interests_of", user=clean(name))))
    liked = [interest for interest in profile.interests if interest.polarity == "positive"]
    if not liked:
        out.print(words["no_interests"])
    else:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column(words["interest"], overflow="fold", max_width=_NAME)
        table.add_column(words["share"], justify="right")
        table.add_column(words["rests_on"], overflow="fold")
        for interest in liked:
            cited = _cited(interest, titles, _TITLES, words)
            table.add_row(Text(interest.keyword), percent(interest.weight), Text(cited))
        out.print(table)
    avoided = [interest.keyword for interest in profile.interests if interest.polarity == "negative"]
    if avoided:
        out.print(Text(words.say("avoids", interests=words["comma"].join(avoided))))


def print_profile(profile: Profile, titles: dict[str, str]) -> None:
    """Print everything about the interests as a table, and the summary.

    Args:
        profile: the profile to print.
        titles: by event id, what each event was about.
    """
    words = messages_for(profile.language, "cli")
    if not profile.interests:
        out.print(words["no_interests"])
        return
    title = Text(words.say("interests_of", user=clean(profile.user)))  # a str would be read as markup
    table = Table(title=title, title_justify="left", expand=False)
    table.add_column("", justify="right")  # the number by which `tanqu profile USER mute` may call it
    for column in ("interest", "theme"):
        table.add_column(words[column], overflow="fold")
    table.add_column(words["share"], justify="right")
    table.add_column(words["certainty"])
    table.add_column(words["rests_on"], overflow="fold", ratio=1)
    for number, interest in enumerate(profile.interests, 1):
        table.add_row(
            str(number),
            Text(_marked(interest, words)),
            Text(interest.theme),
            percent(interest.weight),
            _certainty(interest, words),
            Text(_cited(interest, titles, _TITLES_IN_FULL, words)),
        )
    out.print(table)
    out.print(Text(profile.summary))


def _cited(interest: Interest, titles: dict[str, str], at_most: int, words: Messages) -> str:
    """The titles of the first cited events, and how many more there are."""
    cited = list(dict.fromkeys(titles.get(event, event) for event in interest.evidence))
    shown = [clip(clean(title), _TITLE) for title in cited[:at_most]]
    more = f" +{len(cited) - at_most}" if len(cited) > at_most else ""
    return words["comma"].join(shown) + more


def _marked(interest: Interest, words: Messages) -> str:
    marks = [words["avoided"]] if interest.polarity == "negative" else []
    marks += [words[mark] for mark in ("muted", "pinned") if getattr(interest, mark)]
    return (
        words.say("marked", marks=words["comma"].join(marks), name=interest.keyword)
        if marks
        else interest.keyword
    )


def _certainty(interest: Interest, words: Messages) -> str:
    """How sure the model is of the name, in a word; or who named the interest if not the model."""
    if interest.named_by != "model":
        return words.name("named_by", interest.named_by)
    sure = interest.confidence
    return words["high"] if sure >= _HIGH else words["medium"] if sure >= _MEDIUM else words["low"]


def print_picks(run: Run, *, with_counterfactuals: bool = False) -> None:
    """Print the picks, each with its reason, and the notes of the run on stderr.

    Picks of topics that are new to the user come under a heading of their own.

    Args:
        run: the run to print.
        with_counterfactuals: whether to add the rank of each pick without what its reason cites.
    """
    words = messages_for(run.profile.language, "cli")
    request = words.say("on_request", request=clean(run.request)) if run.request else ""
    out.print(Text("\n" + words.say("picks_for", user=clean(run.display_name or run.user)) + request))
    if not run.recommendations:
        out.print(words["no_picks"])
    under_new = False
    for pick in run.recommendations:
        if pick.new_for_you and not under_new:
            out.print(Text(f"\n{words['new']}"))
        under_new = pick.new_for_you is not None
        _print_pick(pick, words)
        if with_counterfactuals:
            for _, line in counterfactual_text(run, pick).lines:
                out.print(Padding(Text(line, style="dim"), (0, 0, 0, 3)))
    if with_counterfactuals:
        for mark in dict.fromkeys(counterfactual_text(run, pick).method for pick in run.recommendations):
            out.print(Text(mark, style="dim"), end="\n" if mark else "")
    for note in run.notes:
        say(f"note: {note}")


def _print_pick(pick: Recommendation, words: Messages) -> None:
    head = Text(f"{pick.rank}. {clean(pick.item.title, 120)}", style="bold")
    year = pick.item.attributes.get("year")
    head.append(f" ({clean(str(year), 20)})" if year else "", style="not bold")
    if pick.new_for_you:
        bridge = words.say("bridge", interest=pick.new_for_you.interest, topic=pick.new_for_you.topic)
        head.append(f"  {bridge}", style="dim not bold")
    out.print(head)
    out.print(Padding(Text(pick.explanation.text), (0, 0, 0, 3)))


__all__ = ["print_interests", "print_picks", "print_profile"]
