"""What a run is told: TOML sections as frozen models, checked whole before any data are read."""
