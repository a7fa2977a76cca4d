"""The suite, one folder per layer."""
