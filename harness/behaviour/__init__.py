"""What a model's answers are like, whatever they are worth: measures of texts, compared with a baseline's prompt by prompt."""
