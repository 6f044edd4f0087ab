"""Every execution of a short story within a bound of deviations, on the shipped cores."""
