"""The engine: one module a verb, and what the verbs share: locks, guards, the stepping of a chain,
the undo.
"""
