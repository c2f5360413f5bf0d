"""Which method's pictures people prefer: what is asked, what was answered, and what the answers say.

No page and no server here: those are the command's.
"""
