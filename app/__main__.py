"""`python -m app` serves the API: see `server.workers`."""

from app.server.workers import main

if __name__ == "__main__":
    main()
