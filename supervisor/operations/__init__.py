"""What changes a service: upgrade, reload, rollback, scale, reopen."""
