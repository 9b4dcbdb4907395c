"""Teacher outputs on disk: what is stored, where it belongs to, how it is built and read."""
