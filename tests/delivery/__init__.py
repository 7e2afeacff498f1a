"""When and over what records travel."""
