"""Measuring: what a chain costs, where its time goes, and which of its plugins race each other."""
