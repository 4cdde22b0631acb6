"""Public helpers for tests, ours and third parties': a test CA, and the contract every provider keeps.

Rule of this room: nothing here is imported by the product itself.
"""
