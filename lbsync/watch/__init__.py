"""Watching: what one look at certificates means, and what to do about it and when.

Rule of this room: pure. Looking, rotating, remembering and waiting are the command's.
"""
