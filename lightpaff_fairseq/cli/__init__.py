"""The `lightpaff` command: `main` parses, one module a sub-command."""
