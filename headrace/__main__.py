"""`python -m headrace` runs the command line."""

from headrace.deployments.cli.app import main

main()
