"""A run: a population of members trained, evaluated, logged and checkpointed."""
