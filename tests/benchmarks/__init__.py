"""The benchmarks run and check their answers; their figures are for `make bench`."""
