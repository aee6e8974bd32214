"""Computes the allowed connections from NetworkPolicies as Kubernetes defines them: a pod that a
policy selects for a direction accepts in that direction only connections that some policy allows; a
pod that no policy selects accepts all connections.
"""

import dataclasses
import ipaddress

from kubernetes_rendered import matches


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A pod (with labels, in a namespace) or an external address (with neither)."""

    name: str
    namespace: str | None = None
    labels: tuple = ()
    ip: str | None = None
    # (protocol, number) of what it listens on.
    ports: tuple = ()


class Network:
    """The policies of one namespace. Other namespaces have none."""

    def __init__(self, namespace, policies):
        self.namespace = namespace
        self.policies = [policy["spec"] for policy in policies]

    def allows(self, source, target, port):
        """Returns True if both the source's egress and the target's ingress allow a connection."""
        return self._one_way(source, "Egress", "egress", "to", target, port) and self._one_way(
            target, "Ingress", "ingress", "from", source, port
        )

    def edges(self, endpoints):
        """Returns all allowed connections by name: (source, target, protocol/port)."""
        return {
            (source.name, target.name, f"{protocol}/{number}")
            for source in endpoints
            for target in endpoints
            for protocol, number in target.ports
            if source != target and self.allows(source, target, (protocol, number))
        }

    def _one_way(self, pod, direction, rules, peers, other, port):
        if pod.namespace != self.namespace:
            return True
        selecting = [
            one
            for one in self.policies
            if direction in one["policyTypes"] and matches(one["podSelector"], dict(pod.labels))
        ]
        if not selecting:
            return True
        return any(
            self._fits(rule, peers, other, port) for one in selecting for rule in one.get(rules, [])
        )

    def _fits(self, rule, peers, other, port):
        ports = [(entry.get("protocol", "TCP"), entry["port"]) for entry in rule.get("ports", [])]
        return (not ports or port in ports) and (
            peers not in rule or any(self._is(peer, other) for peer in rule[peers])
        )

    def _is(self, peer, other):
        if "ipBlock" in peer:
            # Addresses of pods are not to be relied on: only what is outside is meant.
            block = peer["ipBlock"]
            inside = other.ip and ipaddress.ip_address(other.ip) in ipaddress.ip_network(
                block["cidr"]
            )
            return bool(inside) and not any(
                ipaddress.ip_address(other.ip) in ipaddress.ip_network(hole)
                for hole in block.get("except", [])
            )
        if other.namespace is None:
            return False
        if "namespaceSelector" in peer:
            named = {"kubernetes.io/metadata.name": other.namespace}
            return matches(peer["namespaceSelector"], named) and matches(
                peer.get("podSelector", {}), dict(other.labels)
            )
        return other.namespace == self.namespace and matches(
            peer["podSelector"], dict(other.labels)
        )
