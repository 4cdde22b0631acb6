"""Drift: what differs from the last state that lbsync left or a person adopted, what likely did it, and what to do about it.

Rule of this room: pure. Looking, keeping the baseline on a disk, asking and telling are the command's. A cause is always likely,
never certain: nobody here saw it happen.
"""
