"""Model servers behind one port, one package each: Ollama, OpenAI-compatible, embedded llama.cpp, scripted."""
