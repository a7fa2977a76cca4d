"""One random history, played through the rules alone and through the services, and compared."""
