"""The networks, one a file; all of them are in `memnet` itself."""
