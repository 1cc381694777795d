"""What ctl and the supervisor share: protocol, places of instances, safe paths, symptoms."""
