"""The service: it looks at farms on a schedule, proposes, and starts what was approved; each time as a child of the command line.

Rule of this room: it never touches a farm. Every look and every change is a process of its own (``children``), so that whatever
becomes of the service, plan, engine, ledger and lock are those of the command line. Only ``cli.serving`` imports this room.
"""
