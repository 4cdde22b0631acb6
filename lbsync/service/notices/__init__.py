"""Notices: what happened, told to people where they are; by apprise, the extra ``notify``.

Rule of this room: what is due is decided from states and from what was told before (``due``, pure); one that could not be sent
is kept, shown, and tried again (``post``). An address is a secret: it is fetched for each sending and never told.
"""
