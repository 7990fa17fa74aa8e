"""What a caller asks of the recommender, checked once, before anything is computed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from ..models.errors import InputError
from ..models.records import MAX_ID, Id, Text

MAX_PICKS = 100
Where = Mapping[str, object]
"""A filter on items in Chroma's dialect, such as `{"price": {"$lte": 50}}`."""

WhatIf = Literal["signals", "all"]
"""Which rankings are repeated without what a reason cites: by the signals alone, or with the model too."""

_USER: TypeAdapter[str] = TypeAdapter(Id)
_WORDS: TypeAdapter[str] = TypeAdapter(Text)


@dataclass(frozen=True, slots=True)
class UserRequest:
    """A request for recommendations, as `user_request` checks it.

    `n` picks (1 to 100) for `user`; `words` is what they ask for, if anything; `where` holds always;
    `n_new` of the picks are of topics that the user has not touched.
    """

    user: str
    words: str = ""
    n: int = 5
    where: Where | None = None
    n_new: int = 0
    what_if: WhatIf | None = None


def user_request(
    user: str,
    words: str = "",
    n: int = 5,
    where: Where | None = None,
    n_new: int = 0,
    what_if: WhatIf | None = None,
) -> UserRequest:
    """A request whose user, words and count can be used.

    Args:
        user: an id of 1 to 200 printable characters; white space around it is dropped.
        words: what is asked for, in words; empty for nothing in particular.
        n: how many picks, 1 to 100.
        where: a filter, checked where it is compiled.
        n_new: how many of the picks come from topics new for the user, 0 to `n`.
        what_if: which counterfactual rankings to compute, if any.

    Returns:
        The request, with user and words as they are stored.

    Raises:
        InputError: the user id or `n` cannot be used.
    """
    if not 1 <= n <= MAX_PICKS:
        msg = f"{n} recommendations cannot be given: ask for 1 to {MAX_PICKS}"
        raise InputError(msg)
    return UserRequest(valid_user(user), _WORDS.validate_python(words).strip(), n, where, n_new, what_if)


def valid_user(user: str) -> str:
    """The user id as it is stored; raises InputError for one that cannot be an id."""
    try:
        return _USER.validate_python(user)
    except ValidationError as error:
        msg = f"the user id {str(user)[:100]!r} cannot be used: give 1 to {MAX_ID} characters that can be printed"
        raise InputError(msg) from error


def unknown_user_message(user: str) -> str:
    """The message for a user without any events."""
    return f"no events of user {user!r} are known: record some with `tanqu ingest FILE`, or give a request"
