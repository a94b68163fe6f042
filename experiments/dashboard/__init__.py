"""All runs below a folder as one page: read from their files alone, with no server, account or network."""
