"""The real thing with nothing installed: embedded servers, a stand-in exchange, a recording."""
