"""Forms of examples: what models of them are told, how they are trained, tested and shown."""
