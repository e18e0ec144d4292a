"""Comparing acni with what does the same work: who is compared in what, how that is run, what is
made of the figures. ``python benchmarks/compare.py`` is the way in.
"""
