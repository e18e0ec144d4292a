"""The plugins that acni brings along, and the runner that runs them in this process."""
