"""Speed of the model, in ratios and medians. `make bench` runs it; nothing here is a test."""
