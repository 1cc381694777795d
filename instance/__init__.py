"""What ctl and the supervisor share: the control protocol, where instances live, safe paths, symptoms in words."""
