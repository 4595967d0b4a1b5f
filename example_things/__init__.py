"""Things to try and to copy from. ``config.example.json`` puts them on a server. Read ``counter.py`` first."""
