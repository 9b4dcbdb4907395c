"""From a teacher and its data to a served student: the steps of `lightpaff distill`."""
