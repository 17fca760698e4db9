"""The doit commands, reporter and loader: the only part of megbuild that imports doit."""
