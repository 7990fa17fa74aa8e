"""What can go wrong, as one tree.

TanquError                 everything a caller may want to catch at once
├── InputError             a value, a line or a file from the user is wrong
├── NotFoundError          a user, an item or a model of that name is not there
├── CatalogueError         the home cannot be used: locked, of another embedder, not writable
├── WeightsError           a weight file is missing, damaged or cannot be fetched
└── ModelError             the language model could not do what was asked
    ├── PromptTooLongError the prompt does not fit into the context, even after cutting
    ├── GrammarError       a schema or regular expression cannot be compiled, or leads nowhere
    └── CancelledError     the caller gave up, or the deadline passed

Every message says what is wrong, which value it was, and what to do about it.
"""


class TanquError(Exception):
    """Root of every error that Tanqu raises on purpose."""


class InputError(TanquError):
    """A value, a line or a file that came from the user is wrong."""


class NotFoundError(TanquError):
    """Nothing of that name is there."""


class CatalogueError(TanquError):
    """The home folder cannot be used as it is."""


class WeightsError(TanquError):
    """A weight file is missing, damaged or cannot be fetched."""


class ModelError(TanquError):
    """The language model could not do what was asked."""


class PromptTooLongError(ModelError):
    """The prompt does not fit into the context, even after the oldest events were cut."""


class GrammarError(ModelError):
    """A schema or regular expression cannot be compiled, or allows no further token."""


class CancelledError(ModelError):
    """The caller gave up, or the deadline passed; the engine is usable as before."""
