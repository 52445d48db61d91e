"""Tools that know nothing of prices: settings, the error tree, logs."""
