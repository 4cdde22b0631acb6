"""Who asks, and whether they may.

Rule of this room: it knows passwords only long enough to compare them, keeps no token or session id in clear, and refuses
whatever it does not know. It knows nothing of farms, plans or pages.
"""
