"""`python -m tanqu` is the command `tanqu`."""

from .agent.cli.main import main

if __name__ == "__main__":
    main()
