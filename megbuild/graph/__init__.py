"""Roads, actions, keys and staleness: pure functions over frozen values; the disk is seen through ``store.files``."""
