"""A simulated Exchange farm for rehearsals and tests: real WinRM, real HTTP and HTTPS, behaviour as documented.

Rule of this room: it speaks protocols and keeps state; it never imports the readers and writers it is there to try
(``lbsync.exchange``), only the bytes of their scripts. Whatever no page documents is a knob of ``LabSpec``.
"""
