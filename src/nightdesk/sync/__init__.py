"""Two disks become one vault: the only place that runs git."""
