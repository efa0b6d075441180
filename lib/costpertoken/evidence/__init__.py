"""What was measured, beside what the model says: calibration, validation, intervals."""
