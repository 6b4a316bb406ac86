"""Every fault of a model server under every act, over real sockets: what is seen, and that nothing is left."""
