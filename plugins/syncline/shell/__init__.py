"""Commands of `syncline` that are too many for one file, and what all commands share. Words for people only."""
