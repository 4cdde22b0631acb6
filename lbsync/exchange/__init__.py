"""The Exchange side: WinRM sessions, the scripts they run, the readers of their answers, and the targets made of both.

Rule of this room: ``session`` alone speaks WinRM, readers are pure, nothing here decides what should be. It must never know
a balancer, a plan's order or a ledger.
"""
