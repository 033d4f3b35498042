"""What an event or an action does: one folder a platform, and the features they share."""
