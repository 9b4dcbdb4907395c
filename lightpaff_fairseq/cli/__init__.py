"""The `lightpaff` command: `main`, and one module per sub-command."""
