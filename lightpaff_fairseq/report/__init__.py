"""`lightpaff report`: show finished and current training runs on one page."""
