"""`python -m nearfar` is the command `nearfar`."""

from nearfar.cli.main import main

main()
