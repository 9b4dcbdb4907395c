"""`lightpaff report`: finished and running trainings as one page; it measures nothing itself."""
