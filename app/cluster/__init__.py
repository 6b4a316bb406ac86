"""Many nodes behind one address: who owns a session, and what happens when its owner is gone."""
