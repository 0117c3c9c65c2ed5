"""HTTP/1.1 to one origin: calls out, whole replies in, by a transport of our own or by stock httpx; and requests streamed through."""
