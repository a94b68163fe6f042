"""Pages for a browser: one file with everything inside, or served to this machine alone."""
