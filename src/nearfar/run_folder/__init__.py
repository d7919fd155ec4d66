"""The run folder: what commands, people and other tools rely on. Names, records, one door.

No torch and no numpy at import, so that a report can be made where neither is wanted.
"""
