"""Algorithms on arrays of nodes and references. Knows nothing of Go, bytes or addresses.

csr         `Graph`: nodes 0..n-1 and their edges; 0 is the virtual root
reach       reachability, shortest paths, what a set of nodes retains together
retained_sets  what many sets retain, 64 in one pass
dominators  the exact dominator tree; retained bytes, tops, the edge that names a child
owners      who shares what nobody holds alone
merged      the dominator tree merged by path signature
"""
