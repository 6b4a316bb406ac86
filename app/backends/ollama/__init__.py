"""The backend for Ollama."""
