"""The demonstration: two posts and a relay on this machine that pair, talk, break and heal.

Theory of operation: `__main__` reads the command line, `stage` starts real processes and drives
them as a user would, `conversation` and `replay` say what happens, `board` gathers when it
happened and `screen` shows it. Nothing of Openline is imported to decide anything: posts are
reached by the command `openline` and by its control socket.
"""
