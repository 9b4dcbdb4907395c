"""Teacher caches: precomputed teacher outputs on disk, how they are built and read."""
