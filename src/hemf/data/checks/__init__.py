"""What is wrong with a data set in the making: gaps, slips, the same file twice."""
