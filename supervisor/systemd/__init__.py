"""systemd: notifications, watchdog, stored descriptors, guard file, unit."""
