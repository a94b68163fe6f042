"""Models of text, character by character: configuration, data, training, sampling, what single units do."""
