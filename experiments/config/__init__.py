"""What a run is asked for: configurations, their options, and the command line."""
