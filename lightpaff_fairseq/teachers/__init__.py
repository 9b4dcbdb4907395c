"""Where soft targets come from: a teacher model that runs beside the student."""
