"""Models of the scripts: what each would have answered on this server.

Rule of this room: a model takes the parameters and the state and gives the JSON of ``lbsync/exchange/scripts/README.md``; it
is found by the SHA-256 of the script's text, so that an edited script is never answered by guesswork.
"""
