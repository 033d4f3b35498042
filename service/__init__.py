"""The running program: routes, intake, relay, command line, and the sandbox to try it in."""
