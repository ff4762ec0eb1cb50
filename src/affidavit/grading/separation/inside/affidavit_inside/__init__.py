"""What both sandboxes of a separated grading share, and the two ends of the channel between them."""
