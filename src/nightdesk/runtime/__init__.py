"""What both commands share: the loop, the command frame, first set-up, the doctor."""
