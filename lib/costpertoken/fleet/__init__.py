"""Traffic on machines: request traces and the scheduler that serves them."""
