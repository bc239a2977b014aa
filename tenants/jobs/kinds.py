"""Every module that registers kinds of jobs, so that any process that works them off knows all."""
