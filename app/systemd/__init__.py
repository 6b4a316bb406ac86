"""What systemd hands to a service, and what a service tells systemd."""
