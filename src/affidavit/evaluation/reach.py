"""Which hosts an agent can reach, by name."""

from affidavit.contracts import Contract, Endpoint
from affidavit.evaluation.errors import RunError
from affidavit.evaluation.run_policy import Terms
from affidavit.evaluation.service_plan import service_names
from affidavit.gateway import EgressSettings, GatewayError
from affidavit.tasks import Task


def reach_of(task: Task, contract: Contract, terms: Terms) -> EgressSettings | None:
    """What an agent can reach: hosts that the task, its suite or the command line lists, or else its contract, and the
    services of its task, as far as the contract allows them.

    Args:
        task: what it is put to.
        contract: that it runs under.
        terms: of the run.

    Returns:
        None where it can reach nothing.

    Raises:
        RunError: it can't be had.
    """
    services = service_names(task)
    if not (services or terms.has_network(task)):
        return None
    document = contract.document
    scopes = [scope.network.endpoints or () for scope in document.scopes]
    permitted = [Endpoint.parse(text) for texts in (document.network.endpoints, *scopes) for text in texts]
    listed = [one for text in terms.listed(task) if (one := Endpoint.parse(text)).host not in services]
    if not listed:
        listed = [one for one in permitted if one.host not in services]
    if not terms.has_network(task):
        listed = []
    found = [both for one in listed for other in permitted if (both := one.common(other)) is not None]
    endpoints = tuple(dict.fromkeys(map(str, found)))
    reached = tuple(name for name in services if any(one.allows_name(name) for one in permitted))
    if not (endpoints or reached):
        return None
    given = terms.access.allowed.addresses
    settings = EgressSettings(
        endpoints,
        {name: given[name] for name in sorted(given) if any(one.allows_name(name) for one in found)},
        reached,
    )
    try:
        settings.ports()
    except GatewayError as error:
        raise RunError(f"{task.id}: {error}") from error
    return settings
