"""A simulated F5 BIG-IP: the REST API that lbsync's provider speaks to, and a data plane that carries real traffic by it.

Rule of this room: it is written from captured answers and F5's documentation, never from the provider that it tests. What was
assumed and not captured stands in ``assumptions`` alone.
"""
