"""``python -m rlay``: the command."""

from rlay._command import main

if __name__ == "__main__":
    raise SystemExit(main())
