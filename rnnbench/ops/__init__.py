"""The recurrences as pure functions. No Flax, no projections, no normalisation, no gating.

Letters: B batch, T time, D model dim, H heads, K key dim, V value dim, N state dim, C chunk length.
Every op takes `state=None` (zeros) and returns `(y, final_state)`, so that a sequence may be fed in pieces.
"""
