"""Making our own weights: data, losses, loops, run folders."""
