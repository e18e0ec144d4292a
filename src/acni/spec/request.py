"""The request of a step: the environment and standard input of one plugin run.

The request configuration is spliced from text: the selected version and the network's name, the
plugin configuration as written, ``runtimeConfig`` where there is one, and the bytes of the previous
result.

(specification, section 2, "Parameters"; section 3, "Deriving request configuration from plugin
configuration"; rules R8, R12, R16, R24, R31, R37 to R40, R49)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import field, frozen

from acni.spec.attachment import AttachmentId
from acni.spec.commands import RULES, Command
from acni.spec.configuration import NetworkConfig
from acni.spec.jsontext import dump, join
from acni.spec.names import ContainerId, IfName, cni_args_text
from acni.spec.planning import Step
from acni.spec.plugin import Request


@frozen(kw_only=True)
class Parameters:
    """What every plugin of a chain is given alike (R49).

    Attributes:
        container_id: CNI_CONTAINERID.
        netns: CNI_NETNS; empty when the namespace is gone.
        ifname: CNI_IFNAME.
        cni_args: The pairs of CNI_ARGS.
        capability_texts: Capability arguments: name to JSON text.
        plugin_dirs: CNI_PATH.
        inherited: What else of the environment a plugin sees.

    Example:
        >>> parameters = spec.Parameters(
        ...     container_id=attachment.container_id,
        ...     netns=attachment.netns,
        ...     ifname=attachment.ifname,
        ...     cni_args={"K8S_POD_NAME": "web-0"},
        ...     capability_texts=attachment.capability_texts,
        ...     plugin_dirs=["/opt/cni/bin"],
        ...     inherited={"PATH": "/usr/sbin:/usr/bin"},
        ... )
        >>> parameters.container_id, parameters.ifname
        ('web', 'eth0')
    """

    container_id: ContainerId
    netns: str
    ifname: IfName
    cni_args: Mapping[str, str] = field(repr=False)
    capability_texts: Mapping[str, str] = field(repr=False)
    plugin_dirs: Sequence[str]
    inherited: Mapping[str, str] = field(repr=False)


def build_request(
    step: Step,
    network: NetworkConfig,
    parameters: Parameters,
    *,
    previous: str | None = None,
    valid: Iterable[AttachmentId] | None = None,
) -> Request:
    """Build the request of one step (specification, section 3, "Deriving request configuration from
    plugin configuration").

    ``capabilities`` is taken out for the verbs on an attachment only (specification, section 3:
    "must not be set" in "Deriving runtimeConfig"); STATUS and GC get it like any other field.

    Args:
        step: The step of a plan.
        network: The network it was planned for.
        parameters: What the whole chain is given.
        previous: The text of the previous result; sent where the plan says so.
        valid: For GC, which needs it, and for nothing else: every attachment that is not
            successfully deleted. What is missing may be freed.

    Raises:
        ValueError: GC without ``valid``, or ``valid`` with another verb.

    Example:
        >>> parameters = spec.Parameters(
        ...     container_id="web", netns="/run/netns/web", ifname="eth0", cni_args={"A": "1"},
        ...     capability_texts={}, plugin_dirs=["/opt/cni/bin"], inherited={},
        ... )
        >>> step = spec.plan(spec.Command.ADD, network)[0]
        >>> request = spec.build_request(step, network, parameters)
        >>> request.stdin
        b'{"cniVersion":"1.1.0","name":"dbnet","type":"bridge"}'
        >>> request.environment["CNI_ARGS"]
        'A=1'
    """
    members = {"cniVersion": dump(network.cni_version), "name": dump(network.name)}
    generated = _capabilities(step, parameters)
    if previous is not None and step.takes_previous:
        generated["prevResult"] = previous
    if (step.command is Command.GC) != (valid is not None):
        raise ValueError("the valid attachments go with GC, and only with GC")
    if valid is not None:
        generated |= _valid_attachments(valid)
    parts = (join(members)[1:-1], step.plugin.request, join(generated)[1:-1])
    stdin = "{" + ",".join([part for part in parts if part]) + "}"
    return Request(environment=environment(step.command, parameters), stdin=stdin.encode())


def _capabilities(step: Step, parameters: Parameters) -> dict[str, str]:
    """Make what ``capabilities`` becomes: arguments for what is declared (R38), or itself."""
    if not RULES[step.command].is_on_attachment:
        declared = step.plugin.declared
        return {} if declared is None else {"capabilities": declared}
    runtime_config = {
        name: text
        for name, text in parameters.capability_texts.items()
        if name in step.plugin.capabilities
    }
    return {"runtimeConfig": join(runtime_config)} if runtime_config else {}


def _valid_attachments(valid: Iterable[AttachmentId]) -> dict[str, str]:
    """Write the attachments that are valid: a list even when there is none (R24)."""
    pairs = [{"containerID": one.container_id, "ifname": one.ifname} for one in valid]
    text = dump(pairs)
    # Plugins built before the final text of 1.1.0 read the second.
    return {"cni.dev/valid-attachments": text, "cni.dev/attachments": text}


def environment(command: Command, parameters: Parameters) -> Mapping[str, str]:
    """Build the environment of a run: always all six parameters, empty rather than absent (R16)."""
    return {
        **parameters.inherited,
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": parameters.container_id,
        "CNI_NETNS": parameters.netns,
        "CNI_IFNAME": parameters.ifname,
        "CNI_ARGS": cni_args_text(parameters.cni_args),
        "CNI_PATH": ":".join(parameters.plugin_dirs),
    }


def network_parameters(plugin_dirs: Sequence[str], inherited: Mapping[str, str]) -> Parameters:
    """Build the parameters of a verb that is about no attachment: all of it empty."""
    return Parameters(
        container_id=ContainerId(""),
        netns="",
        ifname=IfName(""),
        cni_args={},
        capability_texts={},
        plugin_dirs=plugin_dirs,
        inherited=inherited,
    )
