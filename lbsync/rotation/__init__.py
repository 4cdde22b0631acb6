"""Rotation: which certificate follows the one that is served, and how it gets everywhere unnoticed.

Rule of this room: pure, as ``advise`` and ``plan`` are; it reads no store and opens no key.
"""
