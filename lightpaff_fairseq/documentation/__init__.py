"""Pages written from the registries, so that they cannot be out of date."""
