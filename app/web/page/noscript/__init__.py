"""The page without JavaScript while an answer is written."""
