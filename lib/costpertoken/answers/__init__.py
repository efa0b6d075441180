"""Answers to a user's question: records from the tables, the model run on them, the result with its ranges."""
