"""Logs that trainers and trackers leave in a run's folder, each as one mapping a logged step.  No tracker is imported."""
