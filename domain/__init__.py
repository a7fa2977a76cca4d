"""The rules of Purser: pure, synchronous, standard library only. Values in, values out."""
