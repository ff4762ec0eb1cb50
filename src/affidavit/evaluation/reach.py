"""Which hosts an agent can reach, by name."""

from affidavit.contracts import Contract, Endpoint
from affidavit.evaluation.errors import RunError
from affidavit.evaluation.run_policy import Terms
from affidavit.gateway import EgressSettings, GatewayError
from affidavit.tasks import Task


def reach_of(task: Task, contract: Contract, terms: Terms) -> EgressSettings | None:
    """What an agent can reach: hosts that the task, its suite or the command line lists, or else its contract, as far
    as the contract allows them.

    Args:
        task: what it is put to.
        contract: that it runs under.
        terms: of the run.

    Returns:
        None where it can reach nothing.

    Raises:
        RunError: it can't be had.
    """
    if not terms.has_network(task):
        return None
    document = contract.document
    scopes = [scope.network.endpoints or () for scope in document.scopes]
    permitted = [Endpoint.parse(text) for texts in (document.network.endpoints, *scopes) for text in texts]
    listed = [Endpoint.parse(text) for text in terms.listed(task)] or permitted
    found = [both for one in listed for other in permitted if (both := one.common(other)) is not None]
    endpoints = tuple(dict.fromkeys(map(str, found)))
    if not endpoints:
        return None
    given = terms.access.allowed.addresses
    settings = EgressSettings(
        endpoints, {name: given[name] for name in sorted(given) if any(one.allows_name(name) for one in found)}
    )
    try:
        settings.ports()
    except GatewayError as error:
        raise RunError(f"{task.id}: {error}") from error
    return settings
