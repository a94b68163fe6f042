"""A Ray cluster of two machines, in truth two sets of processes on this one: python -m tests.two_nodes

Prints the address and waits. A line on stdin kills the second machine with SIGKILL, the end of stdin ends all.
"""

import sys

from ray.cluster_utils import Cluster

if __name__ == "__main__":
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    print(cluster.address, flush=True)
    for _ in sys.stdin:
        cluster.remove_node(second, allow_graceful=False)
        print("killed", flush=True)
    cluster.shutdown()
