"""What carries datagrams, one module for each kind of wire; none knows another, none reads them."""
