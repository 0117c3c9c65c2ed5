"""A swarm of model services, for locust: who they are, what they ask for, how many they are when, and what must hold of the answers."""
