"""OPS: what somebody is shown who runs the system."""
