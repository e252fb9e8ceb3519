"""What a response says: numbers as people write them, a stated answer, a next question that is no part of it, a refusal."""
