"""What those who would act on a probability ask: net benefit, slope and intercept, smooth reliability."""
