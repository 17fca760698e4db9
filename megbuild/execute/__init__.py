"""Running actions: staging, processes, toolchains, and publishing what came out."""
