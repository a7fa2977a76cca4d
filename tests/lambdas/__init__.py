"""Tests of the jobs, under Lambda's own runtime client."""
