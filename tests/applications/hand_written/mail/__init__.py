"""A mailer with a registry of its tasks that somebody wrote by hand, with the bugs that this usually brings."""
