"""`lightpaff report`: finished and running trainings as one page, without any measuring of its own."""
