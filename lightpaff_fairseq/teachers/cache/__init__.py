"""Teacher caches: build and read precomputed teacher outputs on disk."""
