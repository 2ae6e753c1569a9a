"""The command line: flags, what is shown instead of run, and a run or a study."""
