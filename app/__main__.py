"""`python -m app` serves the API: see `server`."""

from app.server import main

if __name__ == "__main__":
    main()
