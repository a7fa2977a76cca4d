"""The commands of the command line, one file for what they are about."""
