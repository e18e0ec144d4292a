"""The few messages of rtnetlink that plugins need, packed by hand: links, addresses, routes and
neighbours. Synchronous, every wait bounded; it knows no plugin and no policy.

A module a subject has functions that make a message (pure) and functions that read what the kernel
lists. What changes something is a message given to :meth:`acni.netlink.sockets.Netlink.request`,
several of them in one call where that is possible::

    with open_inside(namespace.fd, path=namespace.path) as pod:
        index = index_of(pod, "eth0")
        pod.request(
            addresses.add(interface, index=index),
            links.change(index, up=True),
            routes.add(everywhere, gateway=gateway, index=index),
        )
"""
