"""How one side's record heals the other's (docs/protocol.md §12).

Theory of operation: who lost records asks for them with a HEAL; the other side, once its people
agree, gives them as COPYs in its own chain, so that they are ordered, resumed and kept like
everything else. `bodies` are the layouts, `giving` and `taking` the two sides of it, `exchange`
joins them for a line. Decides nothing about chains that `core` does not allow: a restored record
joins the chain only when the heads around it prove that it belongs there.
"""
