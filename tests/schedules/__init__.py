"""Explored schedules: the real heart under an event loop whose every next step is chosen by an explorer."""
