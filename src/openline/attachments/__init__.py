"""Files that go with a text, over the wire as records (docs/protocol.md §16).

Theory of operation: a FILE says what comes, CHUNKs bring it, in the chain of who sends it, so that
they are ordered, acknowledged, resumed and proven like everything else. `bodies` are the layouts,
`tray` holds what people have laid in until it is in the record, `sending` and `taking` are the two
sides of a line, `exchange` joins them, `reading` gives a file out of the record and `shown` says
how far it is. When and over what a chunk travels does not live here.
"""
