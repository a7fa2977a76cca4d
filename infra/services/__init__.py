"""Writes: one async function per verb, one file per noun."""
