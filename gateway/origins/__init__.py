"""Where features come from: the Protocol, and the Tecton cluster over HTTP."""
