"""Many runs: the cells of a study, the order in which they run, the table that they fill."""
