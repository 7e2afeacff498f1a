"""When and over what our records travel: the outbox and the filling of datagrams."""
