"""The declare room: from MODELS.toml, HARDWARE.toml and rule folders to one frozen Workspace.

``load.load`` is the way in. ``labels`` names and selects outputs and needs nothing else of the room.
"""
