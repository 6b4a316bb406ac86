"""Model servers behind one port, one file each: Ollama, OpenAI-compatible, embedded llama.cpp, scripted."""
