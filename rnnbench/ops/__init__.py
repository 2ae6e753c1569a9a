"""The recurrences as pure functions. No Flax, no projections, no norms; gating in `lstm` and `gru` only.

Letters: B batch, T time, D model dim, H heads, K key dim, V value dim, N state dim, C chunk length.
Every op returns `(y, final_state)`, so that a sequence may be fed in pieces. `state=None` means zeros;
`lstm`, `gru` and `recurrent` require a state. `reset` [B, T], bool, packs several sequences into one:
wherever it is true the state is zero before token t, in the gradient as well.
"""
