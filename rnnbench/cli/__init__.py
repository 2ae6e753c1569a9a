"""The command line: its flags, what it shows, and the start of a run or a study."""
