"""The serverless face: one small file per job."""
