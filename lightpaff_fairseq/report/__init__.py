"""`lightpaff report`: show finished and running trainings on one page, measuring nothing."""
