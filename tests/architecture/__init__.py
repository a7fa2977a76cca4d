"""The shape of the code: what may stand where."""
