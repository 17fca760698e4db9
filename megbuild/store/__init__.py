"""What megbuild remembers: contents by digest, records by key, the state of a workspace. Nothing here knows a graph."""
