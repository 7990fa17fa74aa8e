"""The command line: parses, calls, and prints; results on stdout, notes and progress on stderr.

In: arguments, files, settings. Out: text or JSON on stdout, one line per error, an exit code.
A command is a function in the file of its group and imports rooms when it runs, so that `--help` is fast.
May import: everything.
"""
