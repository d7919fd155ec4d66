"""The commands, a file each: parse, call one function, print. No torch until a command runs."""
