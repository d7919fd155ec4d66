"""What every other part stands on: errors, types, randomness, progress."""
