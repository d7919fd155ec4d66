"""One function behind each command: the command line and Python call the same."""
