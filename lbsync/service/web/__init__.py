"""The service in a browser and as an API.

Rule of this room: it asks the hub and shows what it answers; it decides nothing about farms, and nobody reaches it but through
the gate.
"""
