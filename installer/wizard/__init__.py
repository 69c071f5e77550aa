"""The console setup: pages ask, a `Ui` shows, the flow orders, and nothing here writes configuration."""

FACTORY_ADDRESS = "192.168.1.99/24"  # of the first port, until the box is set up
