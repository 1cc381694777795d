"""systemd: notifications, watchdog, stored descriptors, the guard file, the unit."""
