"""`make bench`: speed and memory, every side measured in one run on one machine, printed as ratios."""
