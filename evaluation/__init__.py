"""Measurements on public and hand-made data: rankings, profiles, explanations, dialogues, speed; and the demo.

In: data sets, a language model or none. Out: figures with intervals as text, JSON or a page.
The commands are mounted on the command line by `commands.mount`.
May import: everything.
"""
