"""USD: what an accelerator-hour costs, and what that makes of a token."""
